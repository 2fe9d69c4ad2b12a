"""Says what a long step is doing, how far it is and for how long: a live line on a terminal, plain lines elsewhere."""

import threading
import time
from types import TracebackType

from rich.live import Live
from rich.text import Text

from cli.console import err

QUIET_SECONDS = 10.0
"""Where there is no terminal, a running step says so this often."""


class Step:
    """One step of a verb; a context manager whose end prints what was done and the time it took.

    `update` may be called from any thread.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.result = ""
        """What the closing line says after the name of the step."""
        self._done = 0
        self._total: int | None = None
        self._current = ""
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._live: Live | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def update(self, *, done: int | None = None, total: int | None = None, current: str | None = None) -> None:
        """Tells how far the step is; what is not given stays as it was."""
        if done is not None:
            self._done = done
        if total is not None:
            self._total = total
        if current is not None:
            self._current = current

    def line(self) -> str:
        """The step as one line."""
        far = f" {self._done}/{self._total}" if self._total else ""
        current = f" · {self._current}" if self._current else ""
        return f"{self.what}{far} · {self.elapsed:.0f} s{current}"

    def __enter__(self) -> "Step":
        if err.is_terminal:
            self._live = Live(get_renderable=lambda: Text(self.line(), no_wrap=True, overflow="ellipsis"), console=err, transient=True)
            self._live.start()
        else:
            threading.Thread(target=self._speak, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        if self._live is not None:
            self._live.stop()
        mark = "[green]✓[/]" if error is None else "[red]✗[/]"
        result = f": {self.result}" if self.result and error is None else ""
        err.print(f"{mark} {self.what}{result} [dim]({self.elapsed:.1f} s)[/]")

    def _speak(self) -> None:
        while not self._ended.wait(QUIET_SECONDS):
            err.print(f"… {self.line()}", markup=False)
