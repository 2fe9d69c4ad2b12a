"""What one value of the edge's config must look like; see `words`."""

import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from model import words
from model.problems import broken
from model.words import text

BUILTIN = "builtin"
LIMIT_KEYS = ("edge", "client", "mesh")
CLAIM_KEY = "claim:"


def https_url(value: object) -> str:
    """An https URL; http is for loopback only."""
    url = text(value)
    parts = urlsplit(url)
    plain = parts.scheme == "http" and (parts.hostname or "").startswith("127.")
    if not parts.hostname or (parts.scheme != "https" and not plain) or parts.username or parts.fragment:
        raise broken("this must be an https URL with a host, without user or fragment", "write for example `https://login.example.com`")
    return url


def issuer(value: object) -> str:
    """`builtin`, or an issuer's URL exactly as its tokens say it."""
    return BUILTIN if value == BUILTIN else https_url(value)


def origin(value: object) -> str:
    """`https://host[:port]`; the first label may be `*` for all names below a domain."""
    rule = "an origin is scheme://host[:port], without a path; `*.` may stand for any name before it"
    return words.matching(r"https?://(\*\.)?[a-z0-9.-]+(:[0-9]+)?", value, rule, "write `https://app.example.com`")


def origin_or_any(value: object) -> str:
    """An origin, or `*` for every one."""
    return "*" if value == "*" else origin(value)


def header_name(value: object) -> str:
    """A request header in lower case that is not the mesh's own."""
    name = text(value)
    if not re.fullmatch(r"x-[a-z0-9-]+", name) or name.startswith(("x-envoy-", "x-forwarded-", "x-request-id", "x-mesh-")):
        raise broken("a claim's header starts with x- and is none of Envoy's or the mesh's own", "write for example `x-user`")
    return name


def host_and_port(value: object) -> str:
    """`host:port`."""
    address = text(value)
    host, _, port = address.rpartition(":")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", host) or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise broken("an address is host:port", "write for example `limits.example.com:8081`")
    return address


def email(value: object) -> str:
    """A mail address, roughly."""
    return words.matching(r"[^@\s]+@[^@\s]+\.[^@\s]+", value, "this must be a mail address", "write for example `ops@example.com`")


def days(value: object) -> str:
    """A whole number of days."""
    return words.matching(r"[1-9][0-9]{0,3}d", value, "this is a whole number of days with d", "write for example `365d`")


def limit_key(value: object) -> str:
    """Who has a bucket of a rate limit."""
    rule = f"a limit is by {', '.join(LIMIT_KEYS)} or {CLAIM_KEY}<name>"
    return words.matching(rf"{'|'.join(LIMIT_KEYS)}|{CLAIM_KEY}[A-Za-z0-9_]+", value, rule, "write for example `client`")


def proto_file(value: object) -> str:
    """A `.proto` file below the repository's root."""
    path = PurePosixPath(text(value))
    if path.is_absolute() or ".." in path.parts or path.suffix != ".proto":
        raise broken("a proto is a .proto file inside the repository", "write for example `apps/protos/info.proto`")
    return str(path)


def bridge_prefix(value: object) -> str:
    """A path prefix that can stand in a `google.api.http` template."""
    rule = "a bridge's prefix is one or more segments of letters, digits and . _ ~ -"
    return words.matching(r"(/[A-Za-z0-9._~-]+)+", words.route_prefix(value), rule, "write for example `/grpc-1`")
