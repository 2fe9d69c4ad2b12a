"""`python -m apps.identity`: serves until SIGTERM, then finishes what runs."""

import os
import sys

from apps.common.environment import read_environment
from apps.common.errors import MeshError
from apps.common.log import configure_logging
from apps.common.serving import serve
from apps.identity.app import create_app
from apps.identity.settings import IdentitySettings

GRACE_SECONDS = 10


def main() -> None:
    """Reads the environment and serves."""
    configure_logging("identity")
    try:
        settings = read_environment(IdentitySettings, os.environ)
        app = create_app(settings)
    except (MeshError, OSError) as error:
        sys.exit(f"identity: {error}")
    serve(app, host=settings.host, port=settings.port, grace_seconds=GRACE_SECONDS)


if __name__ == "__main__":
    main()
