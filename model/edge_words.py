"""What one value of the edge's config must look like; see `words`."""

import re
from pathlib import PurePosixPath

from model import words
from model.problems import broken
from model.words import text

BUILTIN = "builtin"
LIMIT_KEYS = ("edge", "client", "mesh")
CLAIM_KEY = "claim:"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
"""RFC 9110, §5.6.2."""


def header_name(value: object) -> str:
    """A request header in lower case that is not the mesh's own."""
    name = text(value)
    if not re.fullmatch(r"x-[a-z0-9-]+", name) or name.startswith(("x-envoy-", "x-forwarded-", "x-request-id", "x-mesh-")):
        raise broken("a claim's header starts with x- and is none of Envoy's or the mesh's own", "write for example `x-user`")
    return name


def cors_header(value: object) -> str:
    """A header's name, or `*` for every one."""
    rule = "a header's name is letters, digits and signs such as - (a token of RFC 9110)"
    return words.matching(_TOKEN, value, rule, "write for example `content-type`")


def method(value: object) -> str:
    """A method in upper case, or `*` for every one."""
    name = words.matching(_TOKEN, value, "a method is one word (a token of RFC 9110)", "write for example `PUT`")
    if name.upper() in METHODS and name not in METHODS:
        raise broken("methods are told apart by case, and scripts send this one in upper case", f"write `{name.upper()}`")
    return name


def email(value: object) -> str:
    """A mail address, roughly."""
    return words.matching(r"[!-?A-~]+@[!-?A-~]+\.[!-?A-~]+", value, "this must be a mail address", "write for example `ops@example.com`")


def days(value: object) -> str:
    """A whole number of days."""
    return words.matching(r"[1-9][0-9]{0,3}d", value, "this is a whole number of days with d", "write for example `365d`")


def limit_key(value: object) -> str:
    """Who has a bucket of a rate limit."""
    rule = f"a limit is by {', '.join(LIMIT_KEYS)} or {CLAIM_KEY}<name>"
    return words.matching(rf"{'|'.join(LIMIT_KEYS)}|{CLAIM_KEY}[A-Za-z0-9_]+", value, rule, "write for example `client`")


def proto_file(value: object) -> str:
    """A `.proto` file below the repository's root."""
    path = PurePosixPath(words.line(value))
    if path.is_absolute() or ".." in path.parts or path.suffix != ".proto":
        raise broken("a proto is a .proto file inside the repository", "write for example `apps/protos/info.proto`")
    return str(path)


def bridge_prefix(value: object) -> str:
    """A path prefix that can stand in a `google.api.http` template."""
    rule = "a bridge's prefix is one or more segments of letters, digits and . _ ~ -"
    return words.matching(r"(/[A-Za-z0-9._~-]+)+", words.route_prefix(value), rule, "write for example `/grpc-1`")
