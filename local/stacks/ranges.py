"""Address ranges of local stacks: each has a 127.x.0.0/16 of its own among all stacks, clones and users of this host.

A claim is a file named by the range that holds its stack's state directory. Claims are taken under one lock of the host.
Everybody may write to the directory; its sticky bit keeps users from removing each other's claims. What listens on
loopback without being a stack, as benches and tests do, claims a range the same way.
"""

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from local.stacks.state import StackState

CLAIMS = Path("/tmp/envoy-mesh-ranges")
"""The same for every user; lost claims do no harm, since a range in which somebody listens is not given away."""
LOCK = "lock"
TCP_LISTEN = "0A"
"""A state of /proc/net/tcp (proc(5))."""
RANGES = tuple(IPv4Network(f"127.{octet}.0.0/16") for octet in range(1, 256))
"""127.0.0.0/16 is everybody's: localhost, name services, other programs."""


class RangesTaken(RuntimeError):
    """No range is left for a stack."""


def take_range(state: StackState, *, claims: Path = CLAIMS) -> IPv4Network:
    """The stack's range: the one that it has, or a free one, which is then its own until `free_range`.

    A claim whose state directory no longer names the range belongs to nobody any more.
    """
    state.make()
    with _locked(claims):
        remembered = _remembered(state.root)
        if remembered is not None and _owner(claims, remembered) in (None, state.root):
            candidates = [remembered]
        else:
            busy = _listening()
            candidates = [each for each in RANGES if _free(claims, each) and not any(address in each for address in busy)]
        for candidate in candidates:
            if _claim(claims, candidate, state.root):
                state.range_file.write_text(f"{candidate}\n")
                return candidate
    raise RangesTaken(f"all {len(RANGES)} ranges 127.x.0.0/16 are taken by local stacks (claims in {claims}); end one with `./mesh down`")


def free_range(state: StackState, *, claims: Path = CLAIMS) -> None:
    """Gives the stack's range back; nothing happens when it has none."""
    remembered = _remembered(state.root)
    if remembered is None:
        return
    with _locked(claims):
        if _owner(claims, remembered) == state.root:
            _path(claims, remembered).unlink(missing_ok=True)
        state.range_file.unlink(missing_ok=True)


@contextlib.contextmanager
def own_range(directory: Path, *, claims: Path = CLAIMS) -> Iterator[IPv4Network]:
    """A range for what is no stack, while the body runs; `directory`, which need not exist, stands for who has it."""
    state = StackState(directory)
    try:
        yield take_range(state, claims=claims)
    finally:
        free_range(state, claims=claims)


@contextlib.contextmanager
def _locked(claims: Path) -> Iterator[None]:
    """Holds the host's lock; the directory goes with its last claim, so that a host without stacks has no trace of any."""
    descriptor = _lock(claims)
    try:
        yield
        if [path.name for path in claims.iterdir()] == [LOCK]:
            with contextlib.suppress(OSError):
                (claims / LOCK).unlink()
                claims.rmdir()
    finally:
        os.close(descriptor)


def _lock(claims: Path) -> int:
    """A lock file that was removed meanwhile is no lock. It is opened for reading, as another user's cannot be opened for writing."""
    while True:
        _make(claims)
        try:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(claims / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o444))
            descriptor = os.open(claims / LOCK, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), (claims / LOCK).stat()):
                return descriptor
        os.close(descriptor)


def _make(claims: Path) -> None:
    old = os.umask(0)
    try:
        claims.mkdir(mode=0o1777, exist_ok=True)
    except FileExistsError as error:
        raise RangesTaken(f"{claims} is not a directory; remove it") from error
    finally:
        os.umask(old)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISDIR(claims.lstat().st_mode):
            raise RangesTaken(f"{claims} is a link; remove it")


def _path(claims: Path, network: IPv4Network) -> Path:
    return claims / str(network.network_address)


def _owner(claims: Path, network: IPv4Network) -> Path | None:
    try:
        text = _path(claims, network).read_text().strip()
    except (FileNotFoundError, PermissionError):
        return None
    return Path(text) if text else None


def _remembered(root: Path) -> IPv4Network | None:
    try:
        return IPv4Network(StackState(root).range_file.read_text().strip())
    except (OSError, ValueError):
        return None


def _free(claims: Path, network: IPv4Network) -> bool:
    owner = _owner(claims, network)
    if owner is None:
        return True
    try:
        return not owner.exists() or _remembered(owner) != network
    except PermissionError:
        return False


def _claim(claims: Path, network: IPv4Network, root: Path) -> bool:
    """Writes the claim anew; False when an old one is another user's and cannot be removed."""
    path = _path(claims, network)
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except OSError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{root}\n")
    return True


def _listening() -> set[IPv4Address]:
    """Addresses on which somebody listens now; read from the kernel's table, whose owners are of no interest here."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {IPv4Address(socket.ntohl(int(row[1].partition(":")[0], 16))) for row in rows if row[3] == TCP_LISTEN}
