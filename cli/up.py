"""`./mesh up`: config, address range, supervisor, engine, then every machine healthy and the mesh document served."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import TextIO

from rich.text import Text

from cli.config_check import check
from cli.console import err, line, out
from cli.document import DocumentView, State, follow_document
from cli.engine import Engine, forget
from cli.events import Watch
from cli.exits import Exit, Stop
from cli.progress import Step
from cli.provider import provider
from cli.pulumi_cli import find_pulumi
from cli.session import REPO, Session, end_supervisor
from cli.status import is_well, machine_table, ordered
from cli.workspace import StackFile, lay_out, localized, read_stack_file
from local.stacks import take_range
from local.supervisor.client import MachineView, StackStatus, SupervisorClient, SupervisorError, start_or_connect
from local.tool_cache import cache_directory

HEALTHY_LIMIT = timedelta(seconds=60)
"""How long machines may take from the end of the deployment to healthy."""
DOCUMENT_LIMIT = timedelta(seconds=10)
"""How long control planes may take to read the document, and their proxies to take what is made of it; usually a second at most."""
LOG_LINES = 5
ANY_RANGE = IPv4Network("127.1.0.0/16")
"""Stands for the range that is taken once the config is right."""


def up(stack: str, directory: Path | None) -> None:
    """Deploys; raises Stop if something could not be done; with exit code 3 if a machine is not healthy or the document not served."""
    started = time.monotonic()
    session = Session.open(stack, directory)
    written = read_stack_file(REPO, stack)
    check(stack, written)
    check(stack, localized(written, ANY_RANGE))
    with session.alone() as lock:
        cidr = take_range(session.state)
        file = localized(written, cidr)
        pulumi = find_pulumi(REPO, cache_directory())
        with session.engine_log.open("a", buffering=1) as log:
            on_interrupt = f"interrupted; the state is kept, `{session.words('up')}` goes on from here."
            engine = Engine(
                repo=REPO, stack=stack, state=session.state.root, cli=pulumi, log=log, keep_open=[lock], on_interrupt=on_interrupt
            )
            _start_over_if_never_done(session, engine)
            lay_out(REPO, file, session.state.workspace)
            supervisor = _start(session, engine, file, cidr)
            try:
                watch = _deploy(session, engine, file, supervisor, log)
            except Stop as stop:
                if stop.code is Exit.FAILED:
                    err.print(f"the engine's whole log: {session.engine_log}", markup=False)
                raise
        _keep_outputs(session, watch)
        machines = _wait_healthy(supervisor)
        document = _wait_served(session, supervisor)
    _report(session, machines, time.monotonic() - started)
    if not all(map(is_well, machines)) or document.state is not State.SERVED:
        _explain(supervisor, machines)
        for text in document.troubles(session.words("logs")):
            err.print(Text(text, style="bold red" if text == text.lstrip() else ""))
        raise Stop("", Exit.UNHEALTHY)


def _start_over_if_never_done(session: Session, engine: Engine) -> None:
    """Drops what a first deployment left that did not end well: its engine wrote no state while it went."""
    if engine.exists and not session.boot_file.exists():
        end_supervisor(session.state)
        forget(session.state.root)


def _start(session: Session, engine: Engine, file: StackFile, cidr: IPv4Network) -> SupervisorClient:
    """The supervisor, while the engine's state is made ready: both take their time, and neither needs the other."""
    with Step("local cloud") as step, ThreadPoolExecutor(1) as side:
        prepared = side.submit(engine.prepare)
        try:
            supervisor = start_or_connect(session.state, region=file.region, cidr=cidr)
        except SupervisorError as error:
            raise Stop(str(error)) from error
        prepared.result()
        step.result = f"{supervisor.status().cloud_url}, machines in {cidr}"
    return supervisor


def _deploy(session: Session, engine: Engine, file: StackFile, supervisor: SupervisorClient, log: TextIO) -> Watch:
    """Runs the engine; compares its state with the cloud first if that is another one than it describes."""
    current = supervisor.status()
    described = session.boot_file.read_text() if session.boot_file.exists() else None
    another = described != current.boot_id
    started = time.monotonic()
    with provider(REPO, current.cloud_url, file.region, session.state.root, engine.keep_open) as attached, Step("deploy") as step:
        watch = engine.up(attached, step, refresh=another and described is not None, checkpoints=not another)
        step.result = watch.sentence()
    session.boot_file.write_text(current.boot_id)
    log.write(f"deploy took {time.monotonic() - started:.2f} s\n")
    return watch


def _keep_outputs(session: Session, watch: Watch) -> None:
    outputs = watch.outputs or {}
    session.outputs_file.write_text(json.dumps(outputs, indent=2) + "\n")
    session.ca_file.write_text(str(outputs.get("caCertificate", "")))


def _wait_healthy(supervisor: SupervisorClient) -> list[MachineView]:
    last: StackStatus | None = None
    with Step("machines") as step:
        for last in supervisor.follow(HEALTHY_LIMIT):
            waiting = [f"{one.role}/{one.service} {one.health}" for one in last.machines if not is_well(one)]
            step.update(done=len(last.machines) - len(waiting), total=len(last.machines), current=", ".join(sorted(set(waiting))))
        machines = ordered(last.machines if last else ())
        step.result = f"{sum(one.health == 'healthy' for one in machines)} of {len(machines)} healthy"
    return machines


def _wait_served(session: Session, supervisor: SupervisorClient) -> DocumentView:
    with Step("document") as step:
        document = follow_document(lambda: supervisor.status().machines, session.deployed_document, DOCUMENT_LIMIT)
        step.result = document.sentence()
    return document


def _report(session: Session, machines: Sequence[MachineView], seconds: float) -> None:
    """The table, the URLs and the next things to type."""
    outputs = json.loads(session.outputs_file.read_text())
    line()
    out.print(machine_table(machines))
    line()
    services: dict[str, dict[str, str | None]] = outputs.get("services", {})
    prefixes = [service["prefix"] for service in services.values() if service.get("prefix")]
    prefix = prefixes[0] if prefixes else ""
    for url in outputs.get("edgeUrls", []):
        line(f"  {url}{prefix}")
    for region, urls in outputs.get("outerEdgeUrls", {}).items():
        for url in urls:
            line(f"  {url}{prefix}   by the outer edge in {region}")
    if outputs.get("edgeUrls") and prefixes:
        line(f"\n  curl --cacert {session.ca_file} {outputs['edgeUrls'][0]}{prefix}")
    line(f"  {session.words('smoke')}   {session.words('status')}   {session.words('down')}")
    err.print(f"up after {seconds:.1f} s", markup=False)


def _explain(supervisor: SupervisorClient, machines: Sequence[MachineView]) -> None:
    """For each machine that is not healthy: why, and the last lines of its programs."""
    for machine in machines:
        if is_well(machine):
            continue
        err.print(Text(f"{machine.id} ({machine.role}/{machine.service}) is {machine.health}: {machine.detail}", style="bold red"))
        for program, path in supervisor.logs(machine.id).items():
            lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:] if path.exists() else []
            for text in lines:
                err.print(f"  {program}: {text}", markup=False)
