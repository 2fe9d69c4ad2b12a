"""Machines whose user data the config makes larger than EC2 takes, found before anything is made. Pure.

What only a running Pulumi knows has stand-ins that are as long and as hard to compress.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from ipaddress import IPv4Address

from components import control_plane, identity_files, machine_files, subnets
from components.machine_files import Built, StackFacts
from components.user_data import LIMIT_BYTES, MachineFiles, text
from model.builds import AGENT, CONTROL_PLANE, IDENTITY, image_name
from model.identity import callbacks, is_builtin
from model.problems import Problem
from model.spec import MeshSpec, ServiceSpec

SPARE_BYTES = 256
"""Kept free for what real values have beyond their stand-ins."""
ROOM_BYTES = LIMIT_BYTES - SPARE_BYTES
FITS_ALWAYS = 4_000
"""So many bytes of a service's own text have room even where they do not compress; rendering takes a while in a large mesh."""
_FIXES = {
    "env": "put long values into a file of the image, or into an SSM parameter that `secrets` names",
    "secrets": "let one parameter hold several values",
    "command": "put it into a script of the image",
}


def problems(mesh: MeshSpec, *, stack: str, region: str, root: str) -> Iterator[Problem]:
    """Every part of the mesh that its machines' user data has no room for."""
    zones = subnets.plan(mesh.network.cidr, mesh.network.zones)
    facts = StackFacts(stack=stack, region=region, mesh=mesh, control_planes=tuple(map(str, control_plane.addresses(zones))))
    for name, spec in mesh.services.items():
        if sum(_lengths(spec).values()) <= FITS_ALWAYS:
            continue
        app = _built(facts, spec.image.build) if spec.image.build else str(spec.image.ref)
        if rule := _broken(machine_files.service(facts, name, _stand_ins(facts, app=app))):
            yield _of_service(f"{root}.services.{name}", spec, rule)
    if mesh.database and (rule := _broken(machine_files.database(facts, _stand_ins(facts)))):
        callers = f"{len(mesh.callers_of('postgres'))} services call postgres"
        yield Problem(f"{root}.database", callers, rule, "let fewer services call it; each has a user there")
    if rule := _broken(machine_files.monitoring(facts, _stand_ins(facts))):
        paths = [service.metrics for service in mesh.services.values() if service.metrics]
        value = f"{len(paths)} services with `metrics`, {len(mesh.edge.outer)} regions of outer edges"
        yield Problem(f"{root}.services", value, rule, "give fewer services `metrics`, or shorter paths")
    if mesh.edge.auth and is_builtin(mesh):
        built = _stand_ins(facts, app=_built(facts, IDENTITY))
        if rule := _broken(identity_files.identity(facts, built)):
            value = f"{len(mesh.edge.auth.audiences)} audiences, {len(callbacks(mesh, ()))} domains that logins return to"
            yield Problem(f"{root}.edge.auth", value, rule, "name fewer of them")


def _of_service(path: str, spec: ServiceSpec, rule: str) -> Problem:
    lengths = _lengths(spec)
    largest = max(lengths, key=lambda key: lengths[key])
    return Problem(f"{path}.{largest}", f"{lengths[largest]:,} bytes", rule, _FIXES[largest])


def _lengths(spec: ServiceSpec) -> dict[str, int]:
    """Bytes of what a service's config puts into its user data, by key, before compression and as ASCII."""
    return {key: len(json.dumps(getattr(spec, key))) for key in _FIXES}


def _broken(files: MachineFiles) -> str | None:
    size = len(text(files).encode())
    if size <= ROOM_BYTES:
        return None
    return f"with it the user data of {files.machine} has {size:,} bytes, of {LIMIT_BYTES:,} that EC2 takes ({SPARE_BYTES} stay free)"


def _stand_ins(facts: StackFacts, *, app: str = "") -> Built:
    edges = facts.mesh.edge.instances + sum(outer.instances for outer in facts.mesh.edge.outer)
    hosts = [str(IPv4Address(int(_hex(f"edge {number}", 8), 16))) for number in range(edges)]
    return Built(
        agent=_built(facts, AGENT),
        app=app or _built(facts, CONTROL_PLANE),
        bucket=f"document-bucket-{_hex('bucket', 7)}",
        allocation=f"eipalloc-{_hex('allocation', 17)}",
        public_ip=hosts[0],
        address=facts.control_planes[0],
        volume=f"vol-{_hex('volume', 17)}",
        redirects=" ".join(callbacks(facts.mesh, hosts)),
        certificate=_hex("certificate", 16),
    )


def _built(facts: StackFacts, build: str) -> str:
    """A reference as ECR gives it, of the directory's image."""
    registry = f"{int(_hex('account', 8), 16):012d}.dkr.ecr.{facts.region}.amazonaws.com"
    return f"{registry}/image-{image_name(build)}-{_hex(build, 7)}@sha256:{_hex(build, 64)}"


def _hex(seed: str, length: int) -> str:
    return sha256(seed.encode()).hexdigest()[:length]
