"""Which processes a stack has started: one small file each, so that a dead supervisor's leftovers are found and safely ended."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

START_TIME_FIELD = 19
"""`starttime` in /proc/<pid>/stat, counted from the field after the command's closing parenthesis (proc(5))."""


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; with the pid it names one process for good. None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[START_TIME_FIELD])


@dataclass(frozen=True, kw_only=True)
class ProcessRecord:
    """A process and the machine and service that it runs for."""

    pid: int
    ticks: int
    machine: str
    service: str


@dataclass(frozen=True)
class ProcessRecords:
    """The records of one stack: `<directory>/<pid>` with `<start ticks> <machine> <service>`."""

    directory: Path

    def add(self, record: ProcessRecord) -> None:
        """Records a process that has just been started."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / str(record.pid)).write_text(f"{record.ticks} {record.machine} {record.service}\n")

    def remove(self, pid: int) -> None:
        """Forgets a process that has ended."""
        (self.directory / str(pid)).unlink(missing_ok=True)

    def all(self) -> list[ProcessRecord]:
        """Every record, whether its process lives or not."""
        records = []
        for path in self.directory.glob("*") if self.directory.is_dir() else ():
            words = path.read_text().split()
            if len(words) == 3:
                records.append(ProcessRecord(pid=int(path.name), ticks=int(words[0]), machine=words[1], service=words[2]))
        return records

    def kill_leftovers(self, machines: Path) -> list[ProcessRecord]:
        """SIGKILLs recorded processes that still live, and what is left of their sessions; returns those that it ended.

        A leader is ours when pid and start time agree. Of a session whose leader is gone, a member is ours when its
        environment names a machine root below `machines`: the number may have gone to somebody else meanwhile.
        """
        records = self.all()
        by_pid = {record.pid: record for record in records}
        ended = {record.pid for record in records if start_ticks(record.pid) == record.ticks}
        orphans = [pid for pid, session in _sessions() if session in by_pid and _root_below(pid, machines)]
        for pid in ended:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        for pid in [*ended, *orphans]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for record in records:
            self.remove(record.pid)
        return [by_pid[pid] for pid in sorted(ended)]


def _sessions() -> list[tuple[int, int]]:
    pairs = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                pairs.append((int(entry.name), os.getsid(int(entry.name))))
    return pairs


def _root_below(pid: int, machines: Path) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"MESH_ROOT={machines}/".encode() in environment
