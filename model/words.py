"""What one value of the stack config must look like; each function takes what YAML gave and returns it in our form."""

import json
import math
import re
import shlex
from ipaddress import IPv4Network
from pathlib import PurePosixPath

from model.contract import RESERVED_SERVICE_NAMES
from model.problems import EXAMPLE, broken

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""Of a DNS name (RFC 1123)."""
_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<name>(?:{_PART}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@sha256:(?P<digest>[0-9a-f]{{64}}))?",
    re.ASCII,
)
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()+,;=:@-]+)+|/")
_SIZE = re.compile(r"([1-9][0-9]{0,8})(GiB|TiB)")
_OTHER_PARTITIONS = re.compile(r"(cn|us-gov|us-iso[a-z]?|eu-isoe|eusc)-")
"""Regions of China, of governments and the European sovereign cloud."""
SMALLEST_NETWORK = 20
LARGEST_NETWORK = 16
EBS_LIMIT_GIB = 16384
"""Largest gp3 volume (AWS: EBS volume types)."""
VARIABLE_LIMIT_BYTES = 128_000
"""Linux starts no program with a longer argument or `NAME=value` than 128 KiB, less what a name takes (execve(2), MAX_ARG_STRLEN)."""
IMAGE_NAME_LIMIT = 255
"""Longest name of an image with its registry, without tag and digest (Docker's distribution library)."""
LONGEST_RETENTION_HOURS = 100 * 365 * 24
"""Prometheus counts it in nanoseconds of 64 bits, which end at 292 years."""
_RETENTION_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}
_GRAVITON = re.compile(r"(?:a1|[a-z]+[0-9]+g[a-z]*|[a-z]+[0-9]+[a-z]*-gb[0-9]+)\..*")
"""AWS's naming: the letter behind the generation is the processor's, g is Arm; `a1` is older, `p6e-gb200` has Grace processors."""
_READ_AS = {bool: "true or false", int: "a number", float: "a number", type(None): "null", list: "a list", dict: "a mapping"}
POSTGRES_VERSIONS = ("14", "15", "16", "17", "18")


def text(value: object) -> str:
    """A text. YAML's unquoted numbers and booleans are refused, since `1.40` would arrive as 1.4."""
    if not isinstance(value, str):
        fix = f'put it in quotes: "{json.dumps(value)}"' if isinstance(value, int | float) else EXAMPLE
        raise broken(f"must be text, YAML reads this as {_READ_AS.get(type(value), type(value).__name__)}", fix)
    if re.search(r"[\0\ud800-\udfff]", value):
        raise broken("no program can be given a NUL character, or half of a surrogate pair", "remove it")
    return value


def line(value: object) -> str:
    """A line of text, not empty."""
    found = text(value)
    if not found or not found.isprintable() or found != found.strip():
        plain = "".join(letter for letter in found if letter.isprintable()).strip()
        rule = "this is text of one line, not empty, without control characters and without blanks at its ends"
        raise broken(rule, f'write "{plain}"' if plain else "write the text, or remove the key")
    return found


def program_text(value: object) -> str:
    """A text that a program can be started with: 128,000 bytes at most."""
    found = text(value)
    if len(found.encode()) > VARIABLE_LIMIT_BYTES:
        rule = f"Linux starts no program with more than {VARIABLE_LIMIT_BYTES:,} bytes in one text"
        raise broken(rule, "put it into a file of the image")
    return found


def matching(pattern: str, value: object, rule: str, fix: str) -> str:
    """A text all of which the pattern matches."""
    found = text(value)
    if not re.fullmatch(pattern, found):
        raise broken(rule, fix)
    return found


def service_name(value: object) -> str:
    """A service's name: part of DNS names, tags and node ids."""
    name = text(value)
    if not _NAME.fullmatch(name):
        raise broken(
            "a service's name has 1 to 32 characters of a-z, 0-9 and -, starts with a letter and does not end with -",
            f"rename it, for example {re.sub(r'[^a-z0-9]+', '-', name.lower()).lstrip('-0123456789')[:32].rstrip('-') or 'web'!r}",
        )
    if name in RESERVED_SERVICE_NAMES:
        raise broken(
            f"this name is the mesh's own; reserved are {', '.join(sorted(RESERVED_SERVICE_NAMES))}", f"rename it, for example 'my-{name}'"
        )
    return name


def domain(value: object) -> str:
    """A DNS name of at least two labels (RFC 1123), lower case."""
    name = text(value)
    labels = name.split(".")
    if len(labels) < 2 or len(name) > 200 or not all(LABEL.fullmatch(label) for label in labels):
        raise broken(
            "a domain is two or more labels of a-z, 0-9 and -, joined by dots, 200 characters at most",
            "write for example `dev.mesh.internal`",
        )
    if labels[-1] == "local":
        raise broken("names below .local belong to multicast DNS (RFC 6762)", "use .internal instead")
    return name


def network(value: object) -> IPv4Network:
    """A VPC range: a network address of /16 to /20 in private or, for local stacks, loopback space."""
    try:
        cidr = value if isinstance(value, IPv4Network) else IPv4Network(text(value))
    except ValueError as error:
        if isinstance(value, str) and "host bits" in str(error):
            raise broken("the address has bits set behind the prefix length", f"write {IPv4Network(value, strict=False)}") from None
        raise broken("a range is an IPv4 network in CIDR form", "write for example `10.20.0.0/16`") from None
    if not LARGEST_NETWORK <= cidr.prefixlen <= SMALLEST_NETWORK:
        raise broken(
            f"a VPC's range is /{LARGEST_NETWORK} to /{SMALLEST_NETWORK}: AWS takes no larger one, a smaller one has no room for subnets",
            f"write {cidr.network_address}/{LARGEST_NETWORK}",
        )
    if not cidr.is_private or cidr.is_link_local or cidr.network_address.is_unspecified:
        raise broken("the range must be private (RFC 1918)", "write for example `10.20.0.0/16`")
    return cidr


def route_prefix(value: object) -> str:
    """A path prefix without a trailing slash; `/` alone is the default route."""
    prefix = text(value)
    if not prefix.startswith("/"):
        raise broken("a route's prefix starts with /", f"write /{prefix}")
    if prefix != "/" and prefix.endswith("/"):
        raise broken("a prefix ends without /: `/a` already covers `/a` and `/a/…`", f"write {prefix.rstrip('/') or '/'}")
    return _path(prefix, "a route's prefix")


def health_path(value: object) -> str:
    """An absolute path that the health check requests."""
    return _absolute(value, "a health check's path")


def metrics_path(value: object) -> str:
    """An absolute path that Prometheus asks."""
    return _absolute(value, "a metrics path")


def _absolute(value: object, what: str) -> str:
    path = text(value)
    if not path.startswith("/"):
        raise broken(f"{what} starts with /", f"write /{path}")
    return path if path == "/" else _path(path.rstrip("/"), what)


def _path(path: str, what: str) -> str:
    if not _PATH.fullmatch(path):
        raise broken(f"{what} has no empty parts, spaces, wildcards, query or fragment", "write plain segments, for example `/web/v1`")
    if any(part in (".", "..") for part in path.split("/")):
        raise broken(f"{what} has no . or .. parts: the edge resolves them before it routes", "write the path they lead to")
    return path


def image_ref(value: object) -> str:
    """An image reference with a tag or a digest (OCI distribution spec)."""
    ref = text(value)
    match = _IMAGE.fullmatch(ref)
    if not match:
        raise broken(
            "an image is [registry/]name with :tag or @sha256:<64 hex digits>, lower case", "write for example `registry/name:1.2`"
        )
    if not match["tag"] and not match["digest"]:
        raise broken(
            "an image without tag or digest means `latest`, which changes under a running mesh",
            f"write {ref}:<tag> or {ref}@sha256:<digest>",
        )
    if match["tag"] == "latest" and not match["digest"]:
        raise broken("`latest` changes under a running mesh", "name a version's tag or a digest")
    if len(match["name"]) > IMAGE_NAME_LIMIT:
        raise broken(f"an image's name with its registry has at most {IMAGE_NAME_LIMIT} characters", "give the repository a shorter name")
    return ref


def build_directory(value: object) -> str:
    """A directory below the repository's root."""
    path = PurePosixPath(line(value))
    if path.is_absolute() or ".." in path.parts or str(path) == ".":
        raise broken("a build directory is relative and inside the repository", "write for example `apps/http_service`")
    return str(path)


def local_command(value: object) -> str:
    """A command line with at least `{port}`; other braces are refused, since nothing would fill them in."""
    command = program_text(value)
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise broken(f"the command's quotes do not match ({error})", "close each quote") from None
    if not words:
        raise broken("the command is empty", 'write for example "python -m web --host {host} --port {port}"')
    unknown = sorted(set(re.findall(r"\{(\w*)\}", command)) - {"host", "port"})
    if unknown:
        raise broken(f"{{{unknown[0]}}} is not filled in; only {{host}} and {{port}} are", "use {host} and {port}")
    if "{port}" not in command:
        raise broken(
            "the command must say {port}: the mesh decides where the program listens", "add for example `--host {host} --port {port}`"
        )
    return command


def variable(value: object) -> str:
    """An environment variable's name (POSIX)."""
    rule = "a variable's name has letters, digits and _, and starts with no digit"
    return matching(r"[A-Za-z_][A-Za-z0-9_]*", value, rule, "rename it, for example LOG_LEVEL")


def parameter(value: object) -> str:
    """An SSM parameter's full name."""
    name = text(value)
    if not re.fullmatch(r"(/[A-Za-z0-9_.-]+)+", name) or len(name) > 1011:
        raise broken("an SSM parameter's name is a path of letters, digits and . _ -", "write for example `/team/api-key`")
    return name


def instance_type(value: object) -> str:
    """An EC2 instance type with x86-64 processors, by its name; whether the region has it, AWS says."""
    name = matching(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", value, "an instance type is family.size", "write for example `t3.small`")
    if _GRAVITON.fullmatch(name):
        rule = "its processors are Arm's (arm64); the mesh's own images, which every machine runs, are amd64"
        raise broken(rule, "write for example `t3.small`")
    return name


def region(value: object) -> str:
    """An AWS region of the standard partition by form; whether the account may use it, AWS says."""
    name = text(value)
    if _OTHER_PARTITIONS.match(name):
        raise broken(
            "this region is not in AWS' standard partition: its ARNs do not begin with arn:aws:, as those of the mesh's policies do",
            "take another region, for example `us-east-1`",
        )
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-[1-9]", name):
        raise broken("a region is an area, a direction and a number, without a zone's letter", "write for example `us-east-1`")
    return name


def ami(value: object) -> str:
    """An EC2 machine image's id."""
    rule = "an AMI's id is ami- and 8 or 17 hex digits"
    return matching(r"ami-([0-9a-f]{8}|[0-9a-f]{17})", value, rule, "write for example `ami-0123456789abcdef0`")


def postgres_version(value: object) -> str:
    """A Postgres major version."""
    version = text(value)
    if version not in POSTGRES_VERSIONS:
        raise broken(f"the database's major version is one of {', '.join(POSTGRES_VERSIONS)}", f'write "{POSTGRES_VERSIONS[-1]}"')
    return version


def storage(value: object) -> str:
    """A volume size with its binary unit; EBS has no other."""
    size = text(value)
    if not _SIZE.fullmatch(size):
        raise broken("a size is a whole number with the unit GiB or TiB", "write for example `20GiB`")
    if gibibytes(size) > EBS_LIMIT_GIB:
        raise broken(f"a gp3 volume has at most {EBS_LIMIT_GIB} GiB", "write 16TiB or less")
    return size


def gibibytes(size: str) -> int:
    """`20GiB` as 20, `2TiB` as 2048; the text must have passed `storage`."""
    match = _SIZE.fullmatch(size)
    if not match:
        raise ValueError(f"{size!r} is not a size such as 20GiB")
    return int(match[1]) * (1024 if match[2] == "TiB" else 1)


def retention(value: object) -> str:
    """A Prometheus duration of one unit, of 100 years at most."""
    span = matching(r"[1-9][0-9]*[hdwy]", value, "retention is a whole number with h, d, w or y", "write for example `15d`")
    if len(span) > 7 or int(span[:-1]) * _RETENTION_HOURS[span[-1]] > LONGEST_RETENTION_HOURS:
        raise broken("retention is at most 100 years", "write 100y or less")
    return span


def seconds(value: object) -> float:
    """`15s`, `500ms` or `2m` in seconds, whole milliseconds; plain numbers are seconds (that is how the mesh document holds them)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        span: float = value
    else:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)", text(value))
        if not match:
            raise broken("a time is a number with ms, s or m", "write for example `15s`")
        span = float(match[1]) * {"ms": 0.001, "s": 1, "m": 60}[match[2]]
    if not 0 < span <= 3600:
        raise broken("a time is at least 1ms and at most 60m", "write for example `15s`")
    milliseconds = round(span * 1000)
    if not math.isclose(span * 1000, milliseconds, rel_tol=1e-9):
        raise broken("a time is 1ms or more, in whole milliseconds: Envoy has nothing finer", f"write {max(milliseconds, 1)}ms")
    return milliseconds / 1000
