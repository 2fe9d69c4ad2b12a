"""Compiles the protos that bridges name, where the stack's program runs; the mesh document carries the result.

Needs protoc (`grpc_tools`), which machines do not have.
"""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from model import http_rules
from model.problems import Problem
from model.spec import MeshSpec

_PROTOC_SECONDS = 60


class ProtoRefused(ValueError):
    """A proto that no bridge can serve; `str` says why."""


def compile_bridges(mesh: MeshSpec, directory: Path, *, root: str = "mesh") -> tuple[dict[str, bytes], list[Problem]]:
    """Service name → descriptors of its bridge, and what is wrong with the others; `directory` is the repository's."""
    compiled: dict[str, bytes] = {}
    problems: list[Problem] = []
    owners: dict[str, str] = {}
    for name, service in mesh.services.items():
        if service.bridge is None:
            continue
        path, value = f"{root}.services.{name}.bridge.proto", repr(service.bridge.proto)
        try:
            compiled[name] = compile_proto(directory, service.bridge.proto)
        except ProtoRefused as refused:
            problems.append(Problem(path, value, str(refused), "mend the proto; paths in it are relative to the repository"))
            continue
        for offered in http_rules.services_of(compiled[name]):
            if other := owners.get(offered):
                rule = f"gRPC clients reach {offered} at one path of the edge, which leads to {other}"
                problems.append(Problem(path, value, rule, "bridge one of them, or give the other's proto another package"))
            owners.setdefault(offered, name)
    return compiled, [*problems, *_routes_on_native_paths(mesh, compiled, root)]


def _routes_on_native_paths(mesh: MeshSpec, compiled: Mapping[str, bytes], root: str) -> Iterator[Problem]:
    """Routes that would take from a bridge the path by which gRPC clients reach it, or calls of some of its methods."""
    taken = {path: name for name, descriptors in compiled.items() for path in http_rules.native_paths(descriptors)}
    for name, service in mesh.services.items():
        for part, route in service.edge_routes.items():
            for path, owner in taken.items():
                if f"{route.prefix}/".startswith(f"{path}/"):
                    rule = f"{path} and all below it is where gRPC clients reach {root}.services.{owner}.bridge"
                    place = f"{root}.services.{name}.{part}.prefix"
                    yield Problem(place, repr(route.prefix), rule, "give it another prefix, such as `/web`")


def compile_proto(directory: Path, proto: str) -> bytes:
    """The file's descriptors with those of all that it imports; raises ProtoRefused."""
    file = directory / proto
    if not file.is_file():
        raise ProtoRefused("there is no such file in the repository")
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "descriptors")
        includes = [f"-I{include}" for include in (directory, file.parent, _annotations_root())]
        command = [sys.executable, "-m", "grpc_tools.protoc", *includes, "--include_imports", f"--descriptor_set_out={output}", proto]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_PROTOC_SECONDS, check=False)
        if done.returncode:
            reasons = [line for line in done.stderr.splitlines() if ".proto:" in line and "warning" not in line] or [done.stderr.strip()]
            raise ProtoRefused(f"protoc does not compile it ({reasons[0].replace(f'{directory}/', '').rstrip('. ')})")
        found = FileDescriptorSet.FromString(output.read_bytes())
    if not found.file[-1].service:
        raise ProtoRefused("it has no service")
    if wrong := list(http_rules.mistakes(found)):
        raise ProtoRefused(wrong[0])
    return http_rules.without_annotations_file(found).SerializeToString(deterministic=True)


def _annotations_root() -> Path:
    """The directory above google/api/annotations.proto."""
    spec = importlib.util.find_spec("google.api")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("googleapis-common-protos is not installed: run `./mesh` once, it makes the environment")
    return Path(next(iter(spec.submodule_search_locations))).parents[1]
