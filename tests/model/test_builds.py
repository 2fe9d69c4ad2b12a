"""Images to build: whether their directories are there is asked of the repository itself."""

from pathlib import Path

import pytest

from model.builds import OWN, image_name, unbuildable
from model.read import read_mesh
from tests.model.test_mistakes import changed

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        ("apps/nothere", "the repository has no such directory"),
        ("README.md", "the repository has no such directory"),
        ("docs", "the directory has no Dockerfile"),
        ("apps", "the directory has no Dockerfile"),
    ],
)
def test_a_build_without_a_dockerfile_is_named(build: str, rule: str) -> None:
    mesh = read_mesh(changed("services.web.image.build", build))
    [problem] = unbuildable(mesh, REPO, root="mesh")
    assert (problem.path, problem.value, problem.rule) == ("mesh.services.web.image.build", repr(build), rule)
    assert "pull the image by `ref`" in problem.fix


def test_our_own_images_can_be_built_and_differ_in_their_names() -> None:
    assert all((REPO / build / "Dockerfile").is_file() for build in OWN)
    assert len({image_name(build) for build in OWN}) == len(OWN)
    assert not list(unbuildable(read_mesh(changed("services.web.image.build", "apps/agent")), REPO, root="mesh"))
