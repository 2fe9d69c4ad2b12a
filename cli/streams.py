"""Standard output and error of `./mesh`: each way in which writing to them can fail ends in one way.

Left to themselves, rich, typer and Python's exit each do something else with a reader that is gone or a disk that is full.
"""

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from cli.exits import Exit, Stop

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def guard() -> None:
    """Puts streams that end so in the place of Python's; ends the process where there is no standard output at all."""
    if sys.stdout is None:
        sys.exit("standard output is closed: the results have no place to go")
    messages = os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else sys.stderr.fileno()
    sys.stderr = _text(_Messages, messages, errors="backslashreplace")
    sys.stdout = _text(_Results, sys.stdout.fileno(), errors=sys.stdout.errors)


class _Results(io.FileIO):
    """Where results cannot be written, the verb ends."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _drop_the_rest(self)
            if isinstance(error, BrokenPipeError):
                raise Stop("", Exit.NO_READER) from error
            raise Stop(f"standard output cannot be written: {error.strerror}") from error


class _Messages(io.FileIO):
    """Where nobody hears of the work, it goes on."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            _drop_the_rest(self)
            return memoryview(data).nbytes


def _text(kind: type[io.FileIO], descriptor: int, *, errors: str | None) -> TextIO:
    """Encoded and buffered as Python's own: messages by the line wherever they go, results so on a terminal."""
    raw = kind(descriptor, "w", closefd=False)
    line_buffering = kind is _Messages or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=sys.stdout.encoding, errors=errors, line_buffering=line_buffering)


def _drop_the_rest(stream: io.FileIO) -> None:
    """What is still buffered is written again, at the latest when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
