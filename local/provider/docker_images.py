"""Rows of images that the program builds: locally nothing is built, the digest is that of the build context.

So a changed file changes the digest, with it the user data, and machines roll as on AWS.
"""

import fnmatch
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from local.provider.row import Call, Failure, Made, Properties, Row

HASH = "contextHash"
"""Input that the provider adds: what the files under the context are now."""


def context_digest(context: Path, dockerfile: Path, settings: str) -> str:
    """sha256 over names, modes and contents below `context` without what .dockerignore leaves out, the Dockerfile and the settings."""
    digest = hashlib.sha256(settings.encode())
    ignored = _ignored(context)
    for path in _files(context, context, ignored):
        executable = bool(path.stat().st_mode & 0o111)
        digest.update(f"\0{path.relative_to(context).as_posix()}\0{executable}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(dockerfile.read_bytes() if dockerfile.is_file() else b"")
    return digest.hexdigest()


def _ignored(context: Path) -> list[str]:
    """Patterns of .dockerignore; a later one wins, `!` takes a path in again. Python's caches are never part of a program."""
    file = context / ".dockerignore"
    lines = file.read_text().splitlines() if file.is_file() else []
    return [
        "**/__pycache__",
        "**/*.pyc",
        *(line.strip().removeprefix("/").rstrip("/") for line in lines if line.strip() and not line.startswith("#")),
    ]


def _files(directory: Path, context: Path, ignored: list[str]) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        name = path.relative_to(context).as_posix()
        if path.is_dir() and not path.is_symlink():
            if not _is_left_out(name, ignored) or any(pattern.startswith("!") for pattern in ignored):
                yield from _files(path, context, ignored)
        elif path.is_file() and not _is_left_out(name, ignored):
            yield path


def _is_left_out(name: str, ignored: list[str]) -> bool:
    left_out = False
    parts = name.split("/")
    for pattern in ignored:
        takes_in = pattern.startswith("!")
        wanted = pattern.lstrip("!").removeprefix("/")
        if any(_matches("/".join(parts[: length + 1]), wanted) for length in range(len(parts))):
            left_out = not takes_in
    return left_out


def _matches(name: str, pattern: str) -> bool:
    """`*` stays within one directory, `**/` spans any number of them."""
    if pattern.startswith("**/"):
        rest, parts = pattern[3:], name.split("/")
        return any(_matches("/".join(parts[start:]), rest) for start in range(len(parts)))
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(fnmatch.fnmatchcase(part, wanted) for part, wanted in zip(names, patterns, strict=True))


def _with_hash(inputs: Properties) -> Properties:
    """docker-build gives the context as `context.location`, docker as `build.context`."""
    build = inputs.get("build", {})
    context = inputs["context"].get("location") if isinstance(inputs.get("context"), dict) else build.get("context")
    if not isinstance(context, str) or not Path(context).is_dir():
        return inputs
    given = (inputs.get("dockerfile") or {}).get("location") if isinstance(inputs.get("dockerfile"), dict) else build.get("dockerfile")
    dockerfile = Path(given) if isinstance(given, str) else Path(context) / "Dockerfile"
    settings = repr(sorted({**build.get("args", {}), **inputs.get("buildArgs", {})}.items())) + str(
        inputs.get("target", build.get("target", ""))
    )
    return {**inputs, HASH: context_digest(Path(context), dockerfile, settings)}


def _check_context(inputs: Properties) -> list[Failure]:
    if HASH in inputs:
        return []
    place = "context" if "context" in inputs else "build"
    return [Failure(place, f"no directory {inputs.get(place)!r} below {Path.cwd()}; an image needs a build context that exists")]


def _digest(inputs: Properties) -> str:
    return f"sha256:{inputs[HASH]}"


def _buildx_outputs(inputs: Properties) -> Properties:
    tags: list[Any] = inputs.get("tags", [])
    digest = _digest(inputs)
    return {"digest": digest, "ref": f"{tags[0]}@{digest}" if tags else digest, HASH: inputs[HASH]}


def _image_outputs(inputs: Properties) -> Properties:
    name = str(inputs["imageName"])
    slash, colon = name.rfind("/"), name.rfind(":")
    bare = name[:colon] if colon > slash else name
    registry = inputs.get("registry", {}).get("server") or (bare.split("/", 1)[0] if "." in bare.split("/", 1)[0] else "docker.io")
    return {"baseImageName": name, "imageName": name, "registryServer": registry, "repoDigest": f"{bare}@{_digest(inputs)}"}


def _create_buildx(call: Call) -> Made:
    return Made(_digest(call.inputs), _buildx_outputs(call.inputs))


def _create_image(call: Call) -> Made:
    return Made(str(call.inputs["imageName"]), _image_outputs(call.inputs))


def _nothing_to_do(_: Call) -> None:
    """The new outputs follow from the new inputs."""


ROWS = (
    Row(
        token="docker-build:index:Image",
        create=_create_buildx,
        update=_nothing_to_do,
        prepare=_with_hash,
        check=_check_context,
        preview=_buildx_outputs,
    ),
    Row(
        token="docker:index/image:Image",
        create=_create_image,
        update=_nothing_to_do,
        prepare=_with_hash,
        check=_check_context,
        preview=_image_outputs,
    ),
)
