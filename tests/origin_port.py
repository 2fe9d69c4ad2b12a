"""The port that an edge has for outer edges (`edge.outer`), as a client of a test's own finds it."""

import socket
import ssl
from pathlib import Path

from model.contract import ORIGIN_PORT


def said_at_origin(edge: str, keys: Path | None) -> bytes:
    """What it says to a client that speaks HTTP/2; `keys` is where the agent would put a machine's, if it has any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if keys:
        context.load_cert_chain(keys / "certificate.pem", keys / "key.pem")
    try:
        with context.wrap_socket(socket.create_connection((edge, ORIGIN_PORT), timeout=5)) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            return connection.recv(4096)
    except (ssl.SSLError, ConnectionError):
        return b""
