"""Where the output goes, as a process finds it: a reader that is gone, a full disk, a closed descriptor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.exits import Exit

REPO = Path(__file__).resolve().parents[2]


def mesh(words: str, redirection: str, state: Path) -> subprocess.CompletedProcess[str]:
    """`./mesh …` as a shell runs it with a redirection."""
    environment = {**os.environ, "PYTHONPATH": str(REPO), "XDG_STATE_HOME": str(state)}
    line = f'exec "{sys.executable}" -P -m cli {words} {redirection}'
    return subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("words", ["--help", "status --help", "status --json"])
def test_a_reader_that_is_gone_ends_every_verb_alike_and_quietly(tmp_path: Path, words: str) -> None:
    """By rich, by typer, and by what is still buffered at the end."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        environment = {**os.environ, "PYTHONPATH": str(REPO), "XDG_STATE_HOME": str(tmp_path)}
        command = [sys.executable, "-P", "-m", "cli", *words.split()]
        done = subprocess.run(command, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    finally:
        os.close(writer)
    assert done.returncode == Exit.NO_READER
    assert "Error" not in done.stderr


@pytest.mark.parametrize("words", ["--help", "status --json"])
def test_results_that_cannot_be_written_are_told_in_one_line(tmp_path: Path, words: str) -> None:
    done = mesh(words, ">/dev/full", tmp_path)
    assert done.returncode == Exit.FAILED
    assert "standard output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_standard_output_is_told(tmp_path: Path) -> None:
    done = mesh("status", ">&-", tmp_path)
    assert done.returncode == Exit.FAILED
    assert done.stderr == "standard output is closed: the results have no place to go\n"


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_without_a_place_for_messages_the_work_goes_on(tmp_path: Path, redirection: str) -> None:
    done = mesh("status --json", redirection, tmp_path)
    assert done.returncode == Exit.FAILED
    assert done.stdout == '{\n  "machines": []\n}\n'


def test_what_is_printed_is_the_same_text_as_by_pythons_own_streams(tmp_path: Path) -> None:
    program = "import sys; {}print('é ✓'); print('è', file=sys.stderr)"
    texts = []
    for guarded in ("", "from cli.streams import guard; guard(); "):
        words = [sys.executable, "-c", program.format(guarded)]
        done = subprocess.run(words, cwd=REPO, capture_output=True, check=True)
        texts.append((done.stdout, done.stderr))
    assert texts[0] == texts[1]
