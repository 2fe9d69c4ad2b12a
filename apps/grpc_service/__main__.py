"""`python -m apps.grpc_service`: serves until SIGTERM; health turns NOT_SERVING first, then calls end within the grace."""

import asyncio
import os

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from apps.common.database import Database
from apps.common.environment import read_environment
from apps.common.errors import MeshError
from apps.common.machine import Machine, Postgres
from apps.common.stop import stop_requested
from apps.grpc_service.servicer import Info
from apps.protos import info_pb2, info_pb2_grpc

GRACE_SECONDS = 20
SERVICE = info_pb2.DESCRIPTOR.services_by_name["Info"].full_name


async def serve(machine: Machine, postgres: Postgres | None) -> None:
    """Serves `mesh.info.v1.Info`, grpc.health.v1 and reflection on the machine's host and port."""
    stop = stop_requested()
    database = Database(postgres) if postgres else None
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    checks = health.aio.HealthServicer()  # type: ignore[attr-defined]  # grpc-stubs lack it
    info_pb2_grpc.add_InfoServicer_to_server(Info(machine, database), server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    for name in ("", SERVICE):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    address = f"{machine.host}:{machine.port}"
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise MeshError(f"cannot listen on {address}: another program has it, or the address is not this machine's") from error
    await server.start()
    await stop.wait()
    await checks.enter_graceful_shutdown()
    await server.stop(GRACE_SECONDS)
    if database:
        database.close()


def main() -> None:
    """Reads the environment and serves."""
    postgres = read_environment(Postgres, os.environ) if os.environ.get("PGHOST") else None
    asyncio.run(serve(read_environment(Machine, os.environ), postgres))


if __name__ == "__main__":
    main()
