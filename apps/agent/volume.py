"""Brings the attached data volume: wait for the device, format it only when it is blank, mount it by its label.

A volume outlives its machine, so formatting is the one step that must never happen twice. `blkid` answers "nothing
found" (exit 2) also for a device that it cannot read, so the start of the device is read as well and must be zeros,
as it is on a new EBS volume; anything else stops the boot.
"""

import os
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import structlog

from apps.agent.config import VolumeTask
from apps.common.errors import MeshError

PATIENCE = timedelta(minutes=5)
"""From EC2's word that the volume is being attached to the device."""
BLKID_NOTHING_FOUND = 2
BLANK_BYTES = 1 << 20

log = structlog.get_logger()


def bring_volume(task: VolumeTask, *, owner: int | None) -> None:
    """Leaves the volume mounted at `task.mount`, its top directory `owner`'s: a fresh file system is root's."""
    mount = Path(task.mount)
    if mount.is_mount():
        log.info("volume is mounted", mount=task.mount)
    else:
        wait_for(task.device, patience=PATIENCE)
        format_if_blank(task.device, task.label)
        mount.mkdir(parents=True, exist_ok=True)
        _run("mount", f"LABEL={task.label}", task.mount)
        log.info("volume mounted", volume=task.id, mount=task.mount)
    if owner is not None and os.geteuid() == 0:
        os.chown(mount, owner, owner)


def wait_for(device: Path, *, patience: timedelta) -> None:
    """Returns when the device is there; raises MeshError after `patience`."""
    deadline = time.monotonic() + patience.total_seconds()
    while not device.exists():
        if time.monotonic() >= deadline:
            raise MeshError(f"{device}: not there after {patience}; is the volume attached to this machine?")
        time.sleep(0.5)


def format_if_blank(device: Path, label: str) -> bool:
    """Makes an ext4 file system with the label on a device that holds nothing; True when it did."""
    probe = subprocess.run(["blkid", "-p", str(device)], capture_output=True, text=True, check=False)
    if probe.returncode == 0:
        log.info("volume holds data", device=str(device), found=probe.stdout.strip())
        return False
    if probe.returncode != BLKID_NOTHING_FOUND:
        raise MeshError(f"{device}: blkid cannot tell what it holds (exit {probe.returncode}: {probe.stderr.strip()}); not formatted")
    try:
        with device.open("rb") as file:
            start = file.read(BLANK_BYTES)
    except OSError as error:
        raise MeshError(f"{device}: cannot be read ({error.strerror}); not formatted") from None
    if not start or start.strip(b"\0"):
        raise MeshError(f"{device}: holds data that blkid does not know; not formatted. Wipe it by hand if it may go")
    _run("mkfs.ext4", "-q", "-L", label, str(device))
    log.info("volume formatted", device=str(device), label=label)
    return True


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MeshError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
