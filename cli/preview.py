"""`./mesh preview`: what `up` would do. The stack that is up is compared with the config; any other is planned from nothing.

From nothing means: with the stack's own config, as for AWS, against a throw-away cloud that grants every resource.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from cli.config_check import check
from cli.console import line, out, print_json, table
from cli.engine import Engine
from cli.events import Watch
from cli.progress import Step
from cli.provider import provider
from cli.pulumi_cli import find_pulumi
from cli.session import REPO, Session
from cli.workspace import StackFile, lay_out, localized, read_stack_file
from local.supervisor.client import SupervisorClient, connect
from local.tool_cache import cache_directory

SIGNS = {"create": "[green]+[/]", "update": "[yellow]~[/]", "replace": "[magenta]±[/]", "delete": "[red]-[/]"}


def preview(stack: str, directory: Path | None, *, as_json: bool) -> None:
    """Prints every resource that would change."""
    session = Session.open(stack, directory)
    written = read_stack_file(REPO, stack)
    client = connect(session.state)
    if client is None:
        check(stack, written)
        watch = _from_nothing(stack, written)
    else:
        watch = _against(session, written, client)
    changes = [change for change in watch.changes if change.operation in SIGNS]
    if as_json:
        print_json({"changes": [vars(change) for change in changes], "counts": watch.counts})
        return
    rows = [[SIGNS[change.operation], change.type, change.name, ", ".join(change.keys)] for change in changes]
    if rows:
        out.print(table(["", "type", "name", "inputs that differ"], rows))
    line(watch.sentence().replace("created", "to create").replace("updated", "to update").replace("deleted", "to delete"))


def _against(session: Session, written: StackFile, client: SupervisorClient) -> Watch:
    current = client.status()
    file = localized(written, IPv4Network(current.cidr))
    check(session.stack, written)
    check(session.stack, file)
    with session.alone() as lock:
        lay_out(REPO, file, session.state.workspace)
        return _run(session.stack, session.state.root, current.cloud_url, file.region, keep_open=(lock,))


def _from_nothing(stack: str, file: StackFile) -> Watch:
    with tempfile.TemporaryDirectory(prefix="envoy-mesh-preview-") as place, _cloud(file) as url:
        lay_out(REPO, file, Path(place) / "workspace")
        return _run(stack, Path(place), url, file.region, keep_open=())


def _run(stack: str, state: Path, url: str, region: str, *, keep_open: tuple[int, ...]) -> Watch:
    pulumi = find_pulumi(REPO, cache_directory())
    with (state / "engine.log").open("a", buffering=1) as log:
        on_interrupt = "interrupted; a preview changes nothing."
        engine = Engine(repo=REPO, stack=stack, state=state, cli=pulumi, log=log, keep_open=keep_open, on_interrupt=on_interrupt)
        engine.prepare()
        with provider(REPO, url, region, state, keep_open) as attached, Step("preview") as step:
            return engine.preview(attached, step)


@contextmanager
def _cloud(file: StackFile) -> Iterator[str]:
    from local.cloud import Cloud

    with Step("throw-away cloud"):
        cloud = Cloud(file.region, IPv4Network(file.mesh["network"]["cidr"]))
        cloud.start()
    try:
        yield cloud.url
    finally:
        cloud.stop()
