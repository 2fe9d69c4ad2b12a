"""Which files an image's digest stands for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local.provider.build_context import context_digest, copied

Digest = Callable[[str], str]


@pytest.fixture
def digest(tmp_path: Path) -> Digest:
    """Digest of an image of a small repository, after a Dockerfile's text."""
    for name in ("apps/one/main.py", "apps/two/main.py", "model/spec.py", "tests/test_one.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".dockerignore").write_text("*\n!apps\n!model\n**/*.md\n")

    def of(text: str) -> str:
        (tmp_path / "Dockerfile").write_text(text)
        return context_digest(tmp_path, tmp_path / "Dockerfile", "")

    return of


ONE = "FROM scratch\nCOPY model model\nCOPY apps/one apps/one\n"


@pytest.mark.parametrize(
    ("changed", "differs"),
    [
        ("apps/one/main.py", True),
        ("model/spec.py", True),
        ("apps/two/main.py", False),
        ("tests/test_one.py", False),
        ("apps/one/a.md", False),
    ],
)
def test_only_files_that_the_image_copies_change_its_digest(digest: Digest, tmp_path: Path, changed: str, *, differs: bool) -> None:
    before = digest(ONE)
    (tmp_path / changed).write_text("changed")
    assert (digest(ONE) != before) is differs


def test_another_dockerfile_is_another_image(digest: Digest) -> None:
    assert digest(ONE) != digest(ONE + "USER 10001\n")


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("COPY apps/one apps/two /app/", ["apps/one", "apps/two"]),
        ("COPY --chown=1:1 --link ./apps /app", ["apps"]),
        ('COPY ["a b", "/app"]', ["a b"]),
        ("COPY a \\\n  b /app", ["a", "b"]),
        ("copy . /app", ["."]),
        ("FROM a AS made\nFROM b\nCOPY --from=made /x /y", []),
        ("ADD https://example.org/x /x", []),
        ("ARG WHAT\nCOPY a ${WHAT} /app", ["."]),
        ("RUN --mount=type=bind,target=/src make", ["."]),
    ],
)
def test_what_a_dockerfile_copies(text: str, sources: list[str]) -> None:
    assert copied(text) == sources
