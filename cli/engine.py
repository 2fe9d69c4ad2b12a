"""The Pulumi engine on a local stack: its real CLI, the program of this repository, state in a directory, providers attached.

No Python language host is needed: the Automation API runs `__main__.py` in this process.
"""

import json
import runpy
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import pulumi
from pulumi import automation
from pulumi.automation._stack import StackInitMode
from pulumi.automation.errors import CommandError

from cli.engine_command import EngineCommand
from cli.events import Watch
from cli.exits import Exit, Stop
from cli.progress import Step
from cli.pulumi_cli import PulumiCli
from model.contract import PROJECT


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A running provider: the engine is told its port instead of starting a plugin."""

    port: int
    packages: Sequence[str]

    def setting(self) -> str:
        """As PULUMI_DEBUG_PROVIDERS wants it."""
        return ",".join(f"{package}:{self.port}" for package in self.packages)


class _Stack(automation.Stack):
    """Leaves out what `up` asks the CLI after the engine has ended: outputs and history come with the events (1.1 s)."""

    def outputs(self) -> automation.OutputMap:
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:
        return automation.UpdateSummary("update", datetime.now(UTC), message="", environment={}, config={}, result="succeeded")


class _Workspace(automation.LocalWorkspace):
    """Selecting a stack is a no-op: every command names its stack."""

    def select_stack(self, stack_name: str) -> None:
        return


class Engine:
    """One stack's engine. All that it keeps is below `state`: `workspace`, `pulumi` (backend) and `pulumi-home`."""

    def __init__(
        self, *, repo: Path, stack: str, state: Path, cli: PulumiCli, log: TextIO, keep_open: Sequence[int], on_interrupt: str
    ) -> None:
        self.repo = repo
        self.stack = stack
        self.state = state
        self.log = log
        self.keep_open = tuple(keep_open)
        self.on_interrupt = on_interrupt
        """What a person who interrupts an operation is told."""
        self.command = EngineCommand(cli, keep_open)

    @property
    def exists(self) -> bool:
        """Whether an earlier operation left a state."""
        return self._checkpoint.exists()

    def prepare(self) -> None:
        """Makes the stack if it is new; mends what a killed engine left: its lock, and operations it had begun.

        The caller holds the stack's lock, so an engine's lock found here has no owner. What was half made is adopted by
        the provider, which knows resources by their URN.
        """
        (self.state / "pulumi").mkdir(parents=True, exist_ok=True)
        if not self.exists:
            try:
                self._open().workspace.create_stack(self.stack)
            except CommandError as error:
                raise Stop(f"the engine could not make the stack: {_last_words(error)}") from error
            return
        if any((self.state / "pulumi" / ".pulumi" / "locks").glob("**/*.json")):
            self._open().cancel()
        latest = json.loads(self._checkpoint.read_text())["checkpoint"].get("latest") or {}
        if latest.get("pending_operations"):
            stack = self._open()
            deployment = stack.export_stack()
            deployment.deployment["pending_operations"] = []  # type: ignore[index]
            stack.import_stack(deployment)

    def up(self, provider: Attached, step: Step, *, refresh: bool, checkpoints: bool) -> Watch:
        """Creates or updates everything; `refresh` first compares the state with what the cloud really has.

        Without `checkpoints` the state is written once, at the end: 6 s less of a whole deployment's processor time,
        for a state that a killed engine leaves as it was before.
        """
        extra = {} if checkpoints else {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
        return self._operate(step, lambda watch, options: self._open(provider, watch, extra).up(refresh=refresh, **options))

    def preview(self, provider: Attached, step: Step) -> Watch:
        """What `up` would do."""
        return self._operate(step, lambda watch, options: self._open(provider, watch).preview(**options))

    @property
    def _checkpoint(self) -> Path:
        return self.state / "pulumi" / ".pulumi" / "stacks" / PROJECT / f"{self.stack}.json"

    def _operate(self, step: Step, operation: Callable[[Watch, dict[str, Any]], object]) -> Watch:
        watch = Watch(step=step)
        options = {"on_event": watch.follow, "on_output": self._write, "on_error": self._write, "color": "never", "suppress_progress": True}

        def told() -> None:
            step.update(current="interrupted: ending what is being made (again to end at once)")

        with self.command.interruptible(told), _program_noise(self.log):
            try:
                operation(watch, options)
            except CommandError as error:
                if self.command.interrupted:
                    raise Stop(self.on_interrupt, Exit.INTERRUPTED) from error
                raise Stop(_reason(watch, error)) from error
        if self.command.interrupted:
            raise Stop(self.on_interrupt, Exit.INTERRUPTED)
        return watch

    def _open(
        self, provider: Attached | None = None, watch: Watch | None = None, extra: Mapping[str, str] | None = None
    ) -> automation.Stack:
        def program() -> None:
            # The SDK sends each of its debug messages to the engine in a call of its own, to be dropped there: half of its time.
            pulumi.log.debug = _no_debug
            if watch is not None:
                pulumi.runtime.register_stack_transformation(lambda args: watch.declared())
            runpy.run_path(str(self.repo / "__main__.py"), run_name="__main__")

        workspace = _Workspace(
            work_dir=str(self.state / "workspace"),
            pulumi_home=str(self.state / "pulumi-home"),
            program=program,
            env_vars={**self._environment(provider), **(extra or {})},
            pulumi_command=self.command,
        )
        return _Stack(self.stack, workspace, StackInitMode.SELECT)

    def _environment(self, provider: Attached | None) -> Mapping[str, str]:
        return {
            "PULUMI_HOME": str(self.state / "pulumi-home"),
            "PULUMI_BACKEND_URL": backend_url(self.state / "pulumi"),
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # From the second run on the engine would download each attached plugin that the state names.
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            **({"PULUMI_DEBUG_PROVIDERS": provider.setting()} if provider else {}),
        }

    def _write(self, line: str) -> None:
        self.log.write(line + "\n")


def backend_url(directory: Path) -> str:
    """Pulumi's state in a directory that must exist, each file renamed into place whole.

    By default a file `.attrs`, not so written, stands beside each; where a kill has cut one, Pulumi says only "EOF" from then on
    (gocloud.dev/blob/fileblob, `metadata`).
    """
    return f"file://{directory}?metadata=skip"


def forget(state: Path) -> None:
    """Drops the engine's state of a stack whose cloud is gone."""
    for name in ("workspace", "pulumi", "pulumi-home"):
        shutil.rmtree(state / name, ignore_errors=True)


def _no_debug(*message: object, **options: object) -> None:
    """Stands in for pulumi.log.debug."""


@contextmanager
def _program_noise(log: TextIO) -> Iterator[None]:
    """The SDK prints a stray traceback after a failed program; what counts is in the events."""
    with redirect_stderr(log):
        yield
    log.flush()


def _reason(watch: Watch, error: CommandError) -> str:
    reasons = list(dict.fromkeys(watch.errors)) or [_last_words(error)]
    return "\n".join(["the engine could not finish:", *(f"  {reason}" for reason in reasons)])


def _last_words(error: CommandError) -> str:
    return str(error).strip().splitlines()[-1].strip().removeprefix("stderr: ").removeprefix("error: ")
