"""What a container image is made of, as one digest: the Dockerfile and the files of its build context that it copies.

So a changed file changes the images that hold it and no other, as a real build's digests do.
"""

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

EVERYTHING = "."
COPIES = re.compile(r"^(?:COPY|ADD)\s+(.*)$", re.IGNORECASE)
CONTINUED = re.compile(r"\\[ \t]*\r?\n")


def context_digest(context: Path, dockerfile: Path, settings: str) -> str:
    """sha256 over names, modes and contents of the copied files, the Dockerfile and the settings."""
    text = dockerfile.read_text() if dockerfile.is_file() else ""
    sources = copied(text) if text else [EVERYTHING]
    digest = hashlib.sha256(f"{settings}\0{text}".encode())
    for path in _files(context, context, _ignored(context)):
        name = path.relative_to(context).as_posix()
        if any(_holds(source, name) for source in sources):
            digest.update(f"\0{name}\0{bool(path.stat().st_mode & 0o111)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def copied(dockerfile: str) -> list[str]:
    """Paths of the context that a Dockerfile copies; everything where a line names them by a variable or mounts the context."""
    sources: list[str] = []
    for line in CONTINUED.sub(" ", dockerfile).splitlines():
        if "--mount=" in line and "type=bind" in line:
            return [EVERYTHING]
        found = COPIES.match(line.strip())
        if found is None or "--from=" in line:
            continue
        words = re.sub(r"^(?:--\S+\s+)*", "", found[1])
        given = json.loads(words) if words.startswith("[") else words.split()
        sources += [source.removeprefix("./").strip("/") or EVERYTHING for source in given[:-1] if "://" not in source]
    return [EVERYTHING] if any("$" in source for source in sources) else sources


def _holds(source: str, name: str) -> bool:
    parts = name.split("/")
    return source == EVERYTHING or any(matches("/".join(parts[:length]), source) for length in range(1, len(parts) + 1))


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
            if not _is_left_out(name, ignored) or any(_may_lie_in(name, pattern) for pattern in ignored):
                yield from _files(path, context, ignored)
        elif path.is_file() and not _is_left_out(name, ignored):
            yield path


def _may_lie_in(directory: str, pattern: str) -> bool:
    """Whether a `!` pattern may take a path below a directory in again."""
    if not pattern.startswith("!"):
        return False
    pairs = zip(directory.split("/"), pattern.lstrip("!").removeprefix("/").split("/"), strict=False)
    return "**" in pattern or all(fnmatch.fnmatchcase(part, wanted) for part, wanted in pairs)


def _is_left_out(name: str, ignored: list[str]) -> bool:
    left_out = False
    parts = name.split("/")
    for pattern in ignored:
        takes_in = pattern.startswith("!")
        wanted = pattern.lstrip("!").removeprefix("/")
        if any(matches("/".join(parts[: length + 1]), wanted) for length in range(len(parts))):
            left_out = not takes_in
    return left_out


def matches(name: str, pattern: str) -> bool:
    """`*` stays within one directory, `**/` spans any number of them."""
    if pattern.startswith("**/"):
        rest, parts = pattern[3:], name.split("/")
        return any(matches("/".join(parts[start:]), rest) for start in range(len(parts)))
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(fnmatch.fnmatchcase(part, wanted) for part, wanted in zip(names, patterns, strict=True))
