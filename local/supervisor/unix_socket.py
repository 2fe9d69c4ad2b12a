"""Unix sockets at paths of any length: the kernel's limit is 107 bytes, a state directory may be deeper."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The same file by way of its directory's descriptor."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path) -> socket.socket:
    """A listening socket that only its owner may connect to; it appears at its path, in place of an old one, when it answers."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with _short(fresh) as name:
        old = os.umask(0o177)
        try:
            listener.bind(name)
        finally:
            os.umask(old)
    listener.listen()
    listener.setblocking(False)
    fresh.replace(path)
    return listener


def connect(path: Path, timeout: float) -> socket.socket:
    """A connection to the socket at the path."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    try:
        with _short(path) as name:
            connection.connect(name)
    except OSError:
        connection.close()
        raise
    return connection
