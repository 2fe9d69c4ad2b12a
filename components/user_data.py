"""EC2 user data: from a machine's files to the cloud-config that it boots from. Pure.

Jinja fills in one file, `/etc/mesh/machine.env`. All others are base64: braces in their text would break the render,
and cloud-init then drops the whole user data.
"""

import base64
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from model.contract import COMPOSE_FILE, MACHINE_ENV, RUN_DIR, TEMPLATE_DIR

LIMIT_BYTES = 16_384
"""EC2 refuses more raw user data than this."""
AGENT_FILE = "/etc/mesh/agent.json"
DOCKER_CONFIG_DIR = "/etc/mesh/docker"
UNIT = "mesh.service"
PACKAGES = ["docker.io", "docker-compose-v2", "amazon-ecr-credential-helper"]
MISSING = "CI_MISSING_JINJA_VAR"
"""What cloud-init writes, without an error, where it has no value."""
FIRST_UNPRIVILEGED_PORT = 1024

_ECR = re.compile(r"\b\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com\b")


@dataclass(frozen=True, kw_only=True)
class Directory:
    """A directory of the machine's disk that a container writes to."""

    path: str
    owner: int


@dataclass(frozen=True, kw_only=True)
class MachineFiles:
    """Everything that makes a machine what it is."""

    machine: str
    """Whose it is, `role/service`; messages alone say it."""
    compose: Mapping[str, Any]
    """The role's Compose file (see `compose_files`)."""
    agent: Mapping[str, Any]
    """The agent's task, `/etc/mesh/agent.json`: names of secrets, never a secret."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """Files with `${MESH_*}` placeholders, by name; the agent renders them."""
    directories: tuple[Directory, ...] = ()
    lowest_port: int = FIRST_UNPRIVILEGED_PORT
    """Lowest port that a container listens on; containers have no capability to take one below 1024."""
    certificate: str = ""
    """Fingerprint of the mesh certificate that the agent reads; a renewed one is new user data, so that the machine reads it."""
    address: str = ""
    """The fixed address that the machine claims; without one it is reached at the one that EC2 gives it."""
    own_loopback: bool = False
    """Local stacks: the machine's own address is its loopback, since all machines share 127.0.0.1."""


def render(files: MachineFiles) -> str:
    """The user data; raises ValueError when EC2 would refuse it, which `user_data_sizes` finds out before."""
    rendered = text(files)
    if (size := len(rendered.encode())) > LIMIT_BYTES:
        raise ValueError(f"the user data of {files.machine} has {size} bytes, EC2 takes {LIMIT_BYTES}")
    return rendered


def text(files: MachineFiles) -> str:
    """The user data, however long it is."""
    compose = yaml.safe_dump(dict(files.compose), sort_keys=False, width=10**9)
    entries = [
        _entry(COMPOSE_FILE, compose),
        _entry(AGENT_FILE, json.dumps(files.agent, sort_keys=True)),
        *(_entry(f"{TEMPLATE_DIR}/{name}", text) for name, text in sorted(files.templates.items())),
        _entry(f"/etc/systemd/system/{UNIT}", _unit(files)),
        _entry(f"{DOCKER_CONFIG_DIR}/config.json", json.dumps({"credHelpers": dict.fromkeys(_registries(compose), "ecr-login")})),
    ]
    config = {
        "package_update": True,
        "packages": PACKAGES,
        "write_files": [_machine_env(files), *entries],
        "runcmd": [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", UNIT]],
    }
    head = "## template: jinja\n#cloud-config\n" + (f"# certificate {files.certificate}\n" if files.certificate else "")
    return head + yaml.dump(config, Dumper=_Dumper, sort_keys=False, width=10**9)


def _machine_env(files: MachineFiles) -> dict[str, str]:
    address = files.address or "{{ ds.meta_data.local_ipv4 }}"
    facts = {
        "MESH_INSTANCE_ID": "{{ v1.instance_id }}",
        "MESH_ADDRESS": address,
        "MESH_LOOPBACK": address if files.own_loopback else "127.0.0.1",
        "MESH_ZONE": "{{ v1.availability_zone }}",
    }
    return {"path": MACHINE_ENV, "permissions": "0644", "content": "".join(f"{name}={value}\n" for name, value in facts.items())}


def _entry(path: str, text: str) -> dict[str, str]:
    content = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return {"path": path, "permissions": "0644", "encoding": "gz+b64", "content": content}


def _unit(files: MachineFiles) -> str:
    """The unit runs `prepare` before `up`: Compose reads a service's env_file when it loads, before anything starts."""
    compose = f"/usr/bin/docker compose --env-file {MACHINE_ENV} -f {COMPOSE_FILE}"
    before = [f"/bin/sh -c '! grep -q {MISSING} {MACHINE_ENV}'"]
    if files.lowest_port < FIRST_UNPRIVILEGED_PORT:
        before.append(f"/usr/sbin/sysctl -q -w net.ipv4.ip_unprivileged_port_start={files.lowest_port}")
    before += [f"/usr/bin/install -d -m 0750 -o {item.owner} -g {item.owner} {item.path}" for item in files.directories]
    if files.address:
        before.append(f"/bin/sh -c '{own_address(files.address)}'")
    before.append(f"{compose} run --rm prepare")
    lines = [
        "[Unit]",
        "Description=envoy-mesh machine",
        "Requires=docker.service",
        "After=docker.service network-online.target",
        "Wants=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        f"Environment=DOCKER_CONFIG={DOCKER_CONFIG_DIR}",
        f"RuntimeDirectory={RUN_DIR.removeprefix('/run/')}",
        "RuntimeDirectoryPreserve=yes",
        *(f"ExecStartPre={command}" for command in before),
        f"ExecStart={compose} up --remove-orphans",
        f"ExecStop={compose} down",
        "TimeoutStartSec=900",
        "Restart=always",
        "RestartSec=2",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
        "",
    ]
    return "\n".join(lines)


def own_address(address: str) -> str:
    """Shell words that make the kernel take the address for the machine's own, also again; without characters of systemd's."""
    device = 'ip -4 route show default | grep -o "dev [^ ]*" | head -n 1'
    return f"{device} | xargs ip address replace {address}/32"


def _registries(compose: str) -> list[str]:
    return sorted(set(_ECR.findall(compose)))


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a literal block, so that no fold falls into a jinja expression."""


def _literal(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _literal)
