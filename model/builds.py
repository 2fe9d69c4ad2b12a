"""Images built from the repository: what they are called, and what must hold of the directories that they are built from."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from model.problems import Problem
from model.spec import MeshSpec, ServiceSpec

AGENT = "apps/agent"
CONTROL_PLANE = "apps/control_plane"
IDENTITY = "apps/identity"
OWN = {AGENT: "the agent", CONTROL_PLANE: "the control plane", IDENTITY: "the built-in issuer"}
"""Directories of the mesh's own images, with what these are of."""
LONGEST_NAME = 64
"""ECR takes 256 characters; the registry's part and Pulumi's suffix are among them."""
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


def image_name(build: str) -> str:
    """`apps/http_service` as `http-service`: the last part, in a form that ECR takes."""
    return PurePosixPath(build).name.replace("_", "-").lower()


def check(root: str, services: Mapping[str, ServiceSpec]) -> Iterator[Problem]:
    """Names that ECR refuses, and different directories whose images would have one name."""
    owners = {image_name(build): (build, f"{build}, the image of {what}") for build, what in OWN.items()}
    for service, spec in services.items():
        build = spec.image.build
        if build is None:
            continue
        path, name = f"{root}.services.{service}.image.build", image_name(build)
        if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
            rule = f"an image is called by the directory's last part: 1 to {LONGEST_NAME} letters a-z and digits, with single . _ - between"
            yield Problem(path, repr(build), rule, "rename the directory, for example apps/web")
            continue
        other, owner = owners.setdefault(name, (build, f"{path} = {build!r}"))
        if other != build:
            rule = f"an image is called by the directory's last part, and {name} is taken by {owner}"
            yield Problem(path, repr(build), rule, "rename one of the directories")


def unbuildable(mesh: MeshSpec, directory: Path, *, root: str) -> Iterator[Problem]:
    """Builds without a Dockerfile in the repository, which is at `directory`."""
    for name, service in mesh.services.items():
        build = service.image.build
        if build is None or (directory / build / "Dockerfile").is_file():
            continue
        rule = "the directory has no Dockerfile" if (directory / build).is_dir() else "the repository has no such directory"
        fix = "name a directory that has a Dockerfile, or pull the image by `ref`"
        yield Problem(f"{root}.services.{name}.image.build", repr(build), rule, fix)
