"""User data as cloud-init reads it: rendered with the instance's facts, its files written below a machine's root."""

import base64
import binascii
import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from local.machines.instance import InstanceFacts

MISSING = "CI_MISSING_JINJA_VAR"
"""What cloud-init writes where a variable is missing; a value with it never reaches a process."""

WITHOUT_LOCAL_EFFECT = frozenset(
    {"apt", "bootcmd", "hostname", "locale", "package_reboot_if_required", "package_update", "package_upgrade", "packages", "power_state"}
    | {"preserve_hostname", "runcmd", "ssh_pwauth", "disable_root", "timezone", "users", "final_message", "output"}
)
"""Keys that prepare an operating system; a local machine is its Compose file's processes and needs none of it."""

ENCODINGS: dict[str, tuple[bool, bool]] = {
    "": (False, False),
    "text/plain": (False, False),
    "b64": (True, False),
    "base64": (True, False),
    "gz": (False, True),
    "gzip": (False, True),
    "gz+b64": (True, True),
    "gz+base64": (True, True),
    "gzip+b64": (True, True),
    "gzip+base64": (True, True),
}
"""cloud-init's names of an encoding → (base64, gzip)."""


class UserDataError(ValueError):
    """User data that a real instance would not boot from either."""


@dataclass(frozen=True, kw_only=True)
class WriteFile:
    """One entry of `write_files`."""

    path: str
    content: bytes
    mode: int
    append: bool

    def write(self, root: Path) -> None:
        """Writes the file below a machine's root."""
        target = root / self.path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab" if self.append else "wb") as file:
            file.write(self.content)
        target.chmod(self.mode)


@dataclass(frozen=True, kw_only=True)
class CloudConfig:
    """What a local machine does of a cloud-config."""

    files: tuple[WriteFile, ...]

    def write(self, root: Path) -> None:
        """Writes every file below `root`."""
        for file in self.files:
            file.write(root)


def read_user_data(user_data: bytes, facts: InstanceFacts) -> CloudConfig:
    """Renders and parses user data; raises UserDataError naming the place and the fix."""
    if user_data.startswith(b"\x1f\x8b"):
        user_data = gzip.decompress(user_data)
    if not user_data.strip():
        raise UserDataError("user data is empty: a machine boots from a cloud-config, see components/user_data.py")
    try:
        text = user_data.decode()
    except UnicodeDecodeError as error:
        raise UserDataError(f"user data is not UTF-8 text: {error}") from error
    first, _, rest = text.partition("\n")
    if first.strip().replace(" ", "").lower() == "##template:jinja":
        text = _render(rest, facts)
    if not text.lstrip().startswith("#cloud-config"):
        raise UserDataError(f"user data begins with {text.lstrip()[:40]!r}; the first line of a cloud-config is #cloud-config")
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserDataError(f"user data is not YAML after rendering: {error}") from error
    if not isinstance(document, dict):
        raise UserDataError("user data holds no mapping: nothing would be booted")
    unknown = sorted(set(document) - WITHOUT_LOCAL_EFFECT - {"write_files"})
    if unknown:
        raise UserDataError(f"user data has keys that a local machine does not carry out: {', '.join(unknown)}")
    return CloudConfig(files=tuple(_write_file(entry, index) for index, entry in enumerate(document.get("write_files") or [])))


def _render(text: str, facts: InstanceFacts) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    try:
        rendered = environment.from_string(text).render(instance_data(facts))
    except jinja2.UndefinedError as error:
        raise UserDataError(f"user data names a variable that instance data does not have: {error.message}") from error
    except jinja2.TemplateSyntaxError as error:
        raise UserDataError(f"user data is not a jinja template, line {error.lineno + 1}: {error.message}") from error
    if MISSING in rendered:
        raise UserDataError(f"user data has {MISSING} in it: a variable was missing when it was rendered")
    return rendered


def instance_data(facts: InstanceFacts) -> dict[str, Any]:
    """The part of cloud-init's instance data on EC2 that user data may use; `v1` is also at the top level, as there."""
    v1: dict[str, Any] = {
        "availability_zone": facts.zone,
        "cloud_name": "aws",
        "instance_id": facts.instance_id,
        "local_hostname": facts.hostname,
        "platform": "ec2",
        "region": facts.region,
    }
    meta_data: dict[str, Any] = {
        "hostname": facts.hostname,
        "instance_id": facts.instance_id,
        "local_hostname": facts.hostname,
        "local_ipv4": facts.address,
        "placement": {"availability_zone": facts.zone, "region": facts.region},
    }
    return {**v1, "v1": v1, "ds": {"meta_data": meta_data}}


def _write_file(entry: object, index: int) -> WriteFile:
    place = f"write_files[{index}]"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("path"), str):
        raise UserDataError(f"{place} has no path")
    place = f"{place} ({entry['path']})"
    if ".." in Path(entry["path"]).parts:
        raise UserDataError(f"{place}: a path with '..' leaves the machine's root")
    encoding = str(entry.get("encoding") or "")
    if encoding not in ENCODINGS:
        raise UserDataError(f"{place}: encoding {encoding!r} is not one of {', '.join(filter(None, ENCODINGS))}")
    is_base64, is_gzip = ENCODINGS[encoding]
    content = entry.get("content", "")
    data: bytes = content if isinstance(content, bytes) else str(content).encode()
    try:
        data = base64.b64decode(data, validate=False) if is_base64 else data
        data = gzip.decompress(data) if is_gzip else data
    except (binascii.Error, OSError, EOFError, zlib.error) as error:
        raise UserDataError(f"{place}: content is not {encoding}: {error}") from error
    permissions = str(entry.get("permissions") or "0644")
    try:
        mode = int(permissions, 8)
    except ValueError as error:
        raise UserDataError(f"{place}: permissions {permissions!r} is not an octal mode in quotes, like '0644'") from error
    return WriteFile(path=entry["path"], content=data, mode=mode, append=entry.get("append") is True)


def read_machine_env(path: Path) -> dict[str, str]:
    """Reads `NAME=value` lines as Docker Compose's env files have them; refuses a value cloud-init failed to fill in."""
    values: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not name.isidentifier():
            raise UserDataError(f"{path.name} line {number}: {stripped!r} is not NAME=value")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        if MISSING in value:
            raise UserDataError(f"{path.name} line {number}: {name} has {MISSING} in it: cloud-init had no such variable")
        values[name] = value
    return values
