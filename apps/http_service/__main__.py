"""`python -m apps.http_service`: serves until SIGTERM, then finishes what runs for up to 20 s."""

import os

from apps.common.environment import read_environment
from apps.common.machine import Machine, Postgres
from apps.common.serving import serve
from apps.http_service.app import create_app

GRACE_SECONDS = 20


def main() -> None:
    """Reads the environment and serves."""
    machine = read_environment(Machine, os.environ)
    postgres = read_environment(Postgres, os.environ) if os.environ.get("PGHOST") else None
    app = create_app(
        machine,
        postgres,
        chain_service=os.environ.get("CHAIN_SERVICE", "service-2"),
        grpc_service=os.environ.get("GRPC_SERVICE", "grpc-1"),
    )
    serve(app, host=machine.host, port=machine.port, grace_seconds=GRACE_SECONDS)


if __name__ == "__main__":
    main()
