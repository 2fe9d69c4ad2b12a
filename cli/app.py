"""The words of `./mesh`. Each verb's work is in a module of its own, imported when the verb runs: help must be quick."""

import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cli.bench import Bench
from cli.console import err
from cli.exits import Exit, Stop
from local.stacks import RangesTaken, StackNameError, StateError, check_stack_name
from local.supervisor.client import SupervisorError

EPILOG = (
    "Exit codes: 0 done; 1 failed; 2 wrong words or mistakes in the stack config, nothing was touched; "
    "3 done, but a machine is not healthy or the mesh document not served; "
    "130 interrupted, the state is kept and the next run goes on; 141 who read the output ended first.\n\n"
    "Nothing here changes AWS: every verb works on a local cloud of its own, with made-up credentials; with --aws, "
    "`status`, `smoke` and `outputs` read a stack in your account. AWS is `pulumi up -s dev`."
)

app = typer.Typer(
    name="mesh",
    help="An Envoy service mesh on EC2, whole on this machine: [bold]up[/] deploys it, [bold]smoke[/] tries it, [bold]down[/] ends it.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _stack_name(name: str | None) -> str | None:
    try:
        if name is not None:
            check_stack_name(name)
    except StackNameError as error:
        raise typer.BadParameter(str(error)) from error
    return name


StackOption = Annotated[
    str, typer.Option("--stack", "-s", metavar="STACK", help="The stack: the config is Pulumi.STACK.yaml.", callback=_stack_name)
]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", metavar="DIR", help="Where the stack keeps its state, instead of a place outside the repository.", file_okay=False
    ),
]
AwsOption = Annotated[
    bool,
    typer.Option("--aws", help="Read the stack (by default `dev`) in your AWS account, by your own Pulumi login and AWS credentials."),
]
ReadStackOption = Annotated[
    str | None,
    typer.Option(
        "--stack", "-s", metavar="STACK", help="The stack: the config is Pulumi.STACK.yaml.", show_default="local", callback=_stack_name
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
MachineArgument = Annotated[str, typer.Argument(metavar="MACHINE", help="Instance id, its beginning, or a node id as `status` prints it.")]


@app.command()
def up(stack: StackOption = "local", state: StateOption = None) -> None:
    """Deploy the stack here, or bring it to what the config says now; ends with the machines and the URLs to open."""
    from cli import up as verb

    verb.up(stack, state)


@app.command()
def status(
    context: typer.Context, stack: ReadStackOption = None, state: StateOption = None, json: JsonOption = False, aws: AwsOption = False
) -> None:
    """Show the machines and their health."""
    from cli import status as verb

    if aws:
        verb.status_aws(_stack_in_aws(stack, state), context.obj, as_json=json)
    else:
        verb.status(stack or "local", state, as_json=json)


@app.command()
def smoke(
    context: typer.Context, stack: ReadStackOption = None, state: StateOption = None, json: JsonOption = False, aws: AwsOption = False
) -> None:
    """Send requests through every edge along every route, with verified TLS, and say what answered."""
    from cli import smoke as verb

    if aws:
        verb.smoke_aws(_stack_in_aws(stack, state), context.obj, as_json=json)
    else:
        verb.smoke(stack or "local", state, as_json=json)


@app.command()
def outputs(
    context: typer.Context, stack: ReadStackOption = None, state: StateOption = None, json: JsonOption = False, aws: AwsOption = False
) -> None:
    """Print the stack's outputs, as `pulumi stack output` does on AWS."""
    from cli import outputs as verb

    if aws:
        verb.outputs_aws(_stack_in_aws(stack, state), context.obj, as_json=json)
    else:
        verb.outputs(stack or "local", state, as_json=json)


@app.command()
def token(
    sub: Annotated[str, typer.Option("--sub", help="Whom the token is for.")] = "developer",
    aud: Annotated[list[str] | None, typer.Option("--aud", help="An audience; by default those of the stack. May be repeated.")] = None,
    scope: Annotated[list[str] | None, typer.Option("--scope", help="A scope. May be repeated.")] = None,
    ttl: Annotated[int, typer.Option("--ttl", metavar="SECONDS", min=1, max=86_400, help="How long the token holds.")] = 600,
    stack: StackOption = "local",
    state: StateOption = None,
) -> None:
    """Print an access token of the stack's own issuer: curl -H "authorization: Bearer $(./mesh token)" …"""
    from cli import token as verb

    verb.token(stack, state, subject=sub, audiences=aud or [], scopes=scope or [], life=timedelta(seconds=ttl))


@app.command()
def env(stack: StackOption = "local", state: StateOption = None) -> None:
    """Print what makes any AWS tool talk to the stack's local cloud: eval "$(./mesh env)"."""
    from cli import status as verb

    verb.env(stack, state)


@app.command()
def preview(stack: StackOption = "local", state: StateOption = None, json: JsonOption = False) -> None:
    """Show what `up` would change; for a stack that is not up, every resource that it would make. Needs no credentials."""
    from cli import preview as verb

    verb.preview(stack, state, as_json=json)


@app.command()
def logs(
    machine: MachineArgument,
    program: Annotated[str | None, typer.Argument(metavar="[PROGRAM]", help="envoy, app, …; without it, the machine's programs.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing as lines come, until Ctrl-C.")] = False,
    stack: StackOption = "local",
    state: StateOption = None,
) -> None:
    """Print what a machine's programs wrote."""
    from cli import machines as verb

    verb.logs(stack, state, machine, program, follow=follow)


@app.command()
def config(machine: MachineArgument, stack: StackOption = "local", state: StateOption = None) -> None:
    """Print the live configuration of a machine's Envoy, as JSON."""
    from cli import machines as verb

    verb.config(stack, state, machine)


@app.command("test")
def run_tests(everything: Annotated[bool, typer.Option("--all", help="Also the slow tier: tools, drills, benches.")] = False) -> None:
    """Check the code and run its tests: lint, types, unit, components, envoy, e2e."""
    from cli import checks as verb

    verb.run_checks(everything=everything)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    which: Annotated[
        Bench | None, typer.Argument(help="One of them, with words of its own (`-- --help` shows them); without, all.", show_default=False)
    ] = None,
) -> None:
    """Measure what the mesh costs here: a request's data path, an Envoy's start, a push of the xDS server; what an outer edge gains."""
    from cli import bench as verb

    verb.bench(which, context.args)


@app.command()
def down(stack: StackOption = "local", state: StateOption = None) -> None:
    """End the stack: its machines, its cloud and its state. Nothing is left behind."""
    from cli import down as verb

    verb.down(stack, state)


def _stack_in_aws(stack: str | None, state: Path | None) -> str:
    if state is not None:
        raise Stop("--state is for stacks on this machine; the state of a stack in AWS is where `pulumi login` says", Exit.USAGE)
    return stack or "dev"


def run(arguments: Sequence[str]) -> NoReturn:
    """Runs one verb and ends the process with its exit code."""
    from local.isolation import isolate

    callers_own = dict(os.environ)
    isolate(os.environ)
    try:
        try:
            app(list(arguments), prog_name="mesh", obj=callers_own)
        finally:
            sys.stdout.flush()
    except Stop as stop:
        if stop.message:
            err.print(stop.message, markup=False)
        sys.exit(stop.code)
    except (RangesTaken, StateError, SupervisorError) as error:
        err.print(str(error), markup=False)
        sys.exit(Exit.FAILED)
    except OSError as error:
        if error.filename is None:
            raise
        err.print(f"{error.filename}: {error.strerror}", markup=False)
        sys.exit(Exit.FAILED)
    sys.exit(Exit.OK)
