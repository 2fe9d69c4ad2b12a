"""Makes a machine ready for its containers: address, volume, keys, rendered templates, secrets for the app's environment."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import structlog

from apps.agent.claims import claims, insist
from apps.agent.config import AgentConfig, machine_root
from apps.agent.render import refuse_missing_facts, render
from apps.agent.secret_values import read_values
from apps.agent.volume import bring_volume
from apps.common.errors import MeshError
from model import contract

SECRETS_ENV = "secrets.env"
PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
OWNER_ONLY = 0o600

log = structlog.get_logger()


def prepare(config: AgentConfig, env: Mapping[str, str]) -> None:
    """Does the whole task; safe to repeat, also on a machine that was prepared before."""
    refuse_missing_facts(env)
    root = machine_root(env)
    run_dir = root / contract.RUN_DIR.lstrip("/")
    rendered = render_templates(root / contract.TEMPLATE_DIR.lstrip("/"), env)
    for claim in claims(config, env):
        insist(claim)
    if config.volume:
        bring_volume(config.volume, owner=config.owner)
    values = read_values([*config.files.values(), *config.environment.values()], env)
    files = {name: values[source] for name, source in config.files.items()}
    files[SECRETS_ENV] = "".join(
        f"{name}={env_file_value(name, values[source])}\n" for name, source in sorted(config.environment.items())
    )
    clash = sorted(rendered.keys() & files.keys())
    if clash:
        raise MeshError(f"{run_dir}: both a template and a secret want {', '.join(clash)}; rename the template")
    for name, text in {**files, **rendered}.items():
        _write(run_dir, name, text, owner=config.owner)
    log.info("machine prepared", templates=len(rendered), secrets=len(values))


def render_templates(directory: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Every template below the directory, by its relative name, filled from the machine's facts."""
    return {
        str(path.relative_to(directory)): render(path.read_text(), env, source=str(path))
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def env_file_value(name: str, value: str) -> str:
    """The value as it is when every reader takes it so, else in single quotes, in which Compose leaves `$`, `#` and spaces alone."""
    if PLAIN_VALUE.fullmatch(value):
        return value
    if "\n" in value or "'" in value:
        raise MeshError(f"secret for {name} holds a line break or a single quote, which an env file cannot carry; store another value")
    return f"'{value}'"


def _write(run_dir: Path, name: str, text: str, *, owner: int | None) -> None:
    """Replaces the file at once, so that a running reader sees the old or the new text and never a part."""
    path = run_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    if owner is not None and os.geteuid() == 0:
        os.chown(fresh, owner, owner)
    fresh.replace(path)
