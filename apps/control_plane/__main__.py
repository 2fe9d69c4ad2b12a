"""`python -m apps.control_plane`: on a machine of a stack, or standalone on two files.

On a machine everything comes from the environment, and xDS is mutual TLS. Standalone
(`--mesh mesh.yaml --endpoints endpoints.yaml`) listens on loopback, in plain text, and follows the files.
"""

import argparse
import gc
import os
import sys
from ipaddress import IPv4Address
from pathlib import Path

import structlog
import uvloop

from apps.common.environment import read_environment
from apps.common.errors import MeshError
from apps.common.log import configure_logging
from apps.common.stop import stop_requested
from apps.control_plane.authorization import by_certificate, everyone
from apps.control_plane.control_plane import ControlPlane
from apps.control_plane.discovery.child import ChildDiscovery, command_of
from apps.control_plane.discovery.static_file import STACK, StaticFiles
from apps.control_plane.metrics import Metrics
from apps.control_plane.settings import ControlPlaneSettings
from apps.control_plane.tls import ServerTls
from model import contract


async def run_on_machine() -> None:
    """Serves a stack from one of its machines."""
    settings = read_environment(ControlPlaneSettings, os.environ)
    metrics = Metrics()
    control_plane = ControlPlane(
        stack=settings.stack,
        discovery=ChildDiscovery(command_of(settings), restarted=metrics.restarts.inc),
        authorize=by_certificate(settings.domain),
        metrics=metrics,
    )
    keys = settings.tls_directory
    tls = ServerTls(ca=keys / "ca.pem", certificate=keys / "certificate.pem", key=keys / "key.pem")
    gc.freeze()
    await control_plane.run(
        str(settings.address), xds_port=contract.XDS_PORT, console_port=contract.CONSOLE_PORT, tls=tls, stop=stop_requested()
    )


async def run_standalone(options: argparse.Namespace) -> None:
    """Serves what two files say."""
    address: IPv4Address = options.address
    if not address.is_loopback:
        raise MeshError(f"--address {address}: standalone xDS is plain text, so it listens on loopback (127.0.0.0/8) only")
    files = StaticFiles(mesh=options.mesh, endpoints=options.endpoints, edge_tls=options.edge_tls)
    control_plane = ControlPlane(stack=STACK, discovery=files, authorize=everyone, metrics=Metrics())
    gc.freeze()
    await control_plane.run(
        str(address), xds_port=options.port, console_port=options.console_port, tls=None, stop=stop_requested()
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m apps.control_plane", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mesh", type=Path, help="standalone: the mesh, as in a stack config")
    parser.add_argument("--endpoints", type=Path, help="standalone: group -> list of {address, id, zone, draining}")
    parser.add_argument("--edge-tls", type=Path, help="standalone: directory with certificate.pem and key.pem for the edge")
    parser.add_argument("--address", type=IPv4Address, default=IPv4Address("127.0.0.1"), help="standalone: where to listen")
    parser.add_argument("--port", type=int, default=contract.XDS_PORT, help="standalone: xDS; 0 takes a free one")
    parser.add_argument("--console-port", type=int, default=contract.CONSOLE_PORT, help="standalone: metrics and readiness")
    options = parser.parse_args()
    if (options.mesh is None) != (options.endpoints is None):
        parser.error("standalone takes both --mesh and --endpoints")
    configure_logging("control-plane")
    try:
        uvloop.run(run_standalone(options) if options.mesh else run_on_machine())
    except (MeshError, OSError) as error:
        structlog.get_logger().error("control plane failed", reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
