"""`python -m envoy_configs.render`: writes what each group of each stack's Envoys would run, to be read and diffed in reviews.

One file a stack and group, `envoy_configs/<stack>/<service>.yaml`: the bootstrap template and all resources that the
control plane would serve to one machine, with example addresses and the smallest number of machines. `--check` only
compares, and ends with 1 when a file is not what it should be.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from apps.control_plane import type_urls
from apps.control_plane.build import Builder
from apps.control_plane.model import Endpoint, LoginSecrets, TlsKeyPair, World
from apps.control_plane.node import Node
from envoy_configs.bootstrap import BootstrapArgs, bootstrap
from envoy_configs.readable import as_data, to_yaml
from model.contract import NodeId, Role
from model.identity import is_builtin
from model.problems import ConfigError
from model.proto_files import compile_bridges
from model.read import read_mesh
from model.spec import LOCAL_NETWORK, MeshSpec

ROOT = Path(__file__).parents[1]
GOLDENS = Path(__file__).parent
MESH_KEY = "envoy-mesh:mesh"
COMMAND = "python -m envoy_configs.render"

_HEADER = f"# Made by `{COMMAND}`; addresses and machines are examples. Do not edit.\n"
_SECTIONS = (
    ("listeners", type_urls.LISTENER),
    ("routes", type_urls.ROUTE),
    ("clusters", type_urls.CLUSTER),
    ("endpoints", type_urls.ENDPOINT),
    ("secrets", type_urls.SECRET),
)
_CERTIFICATE = TlsKeyPair(chain="(certificate of the edge)", key="(its key)")
_LOGIN = LoginSecrets(client_secret="(secret of the edge at its issuer)", cookie_key="(key of the edges' cookies)")
_FIRST_HOST = 256
_CONTROL_PLANES = 2


def stacks(root: Path = ROOT) -> dict[str, MeshSpec]:
    """The meshes of the repository's stack files, by stack."""
    found = {}
    for path in sorted(root.glob("Pulumi.*.yaml")):
        config = yaml.safe_load(path.read_text()).get("config", {})
        if MESH_KEY in config:
            mesh: Any = config[MESH_KEY]
            local = IPv4Address(str(mesh["network"]["cidr"]).split("/")[0]) in LOCAL_NETWORK
            found[path.name.split(".")[1]] = read_mesh(mesh, local=local)
    return found


def render(stack: str, spec: MeshSpec) -> dict[str, str]:
    """File name -> text, for every group of the stack that has Envoys."""
    descriptors, problems = compile_bridges(spec, ROOT)
    if problems:
        raise ConfigError(problems)
    world = World(
        spec=spec,
        stack=stack,
        endpoints=tuple(_machines(spec)),
        edge_tls=_CERTIFICATE,
        login_secrets=_LOGIN,
        descriptors=descriptors,
    )
    builder = Builder(world)
    proxies = [endpoint for endpoint in world.endpoints if endpoint.role is not Role.IDENTITY]
    firsts = {_group(endpoint): endpoint for endpoint in reversed(proxies)}
    control_planes = tuple(str(spec.network.cidr[number]) for number in range(10, 10 + _CONTROL_PLANES))
    texts = {}
    for endpoint in firsts.values():
        loopback = endpoint.address if spec.is_local else "127.0.0.1"
        facts = {"address": endpoint.address, "loopback": loopback, "zone": endpoint.zone}
        resources = builder.resources_for(Node(NodeId(endpoint.role, endpoint.service, endpoint.instance), facts))
        args = BootstrapArgs(
            role=endpoint.role,
            service=endpoint.service,
            domain=spec.domain,
            control_planes=control_planes,
            origin=endpoint.role is Role.EDGE and bool(spec.edge.outer),
        )
        document: dict[str, Any] = {"bootstrap": as_data(bootstrap(args))}
        for title, type_url in _SECTIONS:
            if named := resources[type_url]:
                document[title] = [as_data(named[name]) for name in sorted(named)]
        texts[f"{_group(endpoint)}.yaml"] = _HEADER + to_yaml(document)
    return texts


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Writes the Envoy configuration of every stack as YAML.")
    parser.add_argument("--check", action="store_true", help="write nothing; say which files differ")
    check = parser.parse_args().check
    wanted = {GOLDENS / stack / name: text for stack, spec in stacks().items() for name, text in render(stack, spec).items()}
    there = set(GOLDENS.glob("*/*.yaml"))
    stale = sorted(path for path in wanted.keys() | there if path not in wanted or path not in there or path.read_text() != wanted[path])
    for path in stale:
        print(f"{'differs' if check else 'written' if path in wanted else 'removed'}: {path.relative_to(ROOT)}")
        if check:
            continue
        if path in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    if check and stale:
        print(f"run `{COMMAND}` and commit the result", file=sys.stderr)
    return int(check and bool(stale))


def _machines(spec: MeshSpec) -> Iterator[Endpoint]:
    groups = [(Role.EDGE, "edge", spec.edge.instances)]
    groups += [(Role.SERVICE, name, service.replicas.min) for name, service in spec.services.items()]
    if spec.database:
        groups.append((Role.DATABASE, "postgres", 1))
    if is_builtin(spec):
        groups.append((Role.IDENTITY, "identity", 1))
    hosts = itertools.count(_FIRST_HOST + 1)
    for role, service, count in groups:
        for index in range(count):
            zone = f"zone-{'abcdef'[index % spec.network.zones]}"
            yield _machine(role, service, index, address=spec.network.cidr[next(hosts)], zone=zone)
    for outer in spec.edge.outer:
        for index in range(outer.instances):
            zone = f"{outer.region}{'abcdef'[index % outer.zones]}"
            yield _machine(Role.OUTER_EDGE, outer.region, index, address=outer.cidr[_FIRST_HOST + 1 + index], zone=zone)


def _machine(role: Role, service: str, index: int, *, address: IPv4Address, zone: str) -> Endpoint:
    return Endpoint(instance=f"i-{service}-{index + 1}", role=role, service=service, address=str(address), zone=zone)


def _group(endpoint: Endpoint) -> str:
    """Outer edges of all regions are one group here: they differ by addresses and names alone."""
    return endpoint.role if endpoint.role is Role.OUTER_EDGE else endpoint.service


if __name__ == "__main__":
    sys.exit(main())
