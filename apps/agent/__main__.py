"""`python -m apps.agent prepare | associate`: exit 0 when done, 1 with the reason in the log."""

import argparse
import os
import sys

import structlog

from apps.agent.associate import associate
from apps.agent.config import read_config
from apps.agent.prepare import prepare
from apps.common.errors import MeshError
from apps.common.log import configure_logging

TASKS = {"prepare": prepare, "associate": associate}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.agent", description=__doc__)
    parser.add_argument("task", choices=sorted(TASKS))
    task = parser.parse_args().task
    configure_logging("agent")
    try:
        TASKS[task](read_config(os.environ), os.environ)
    except MeshError as error:
        structlog.get_logger().error("agent failed", task=task, reason=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
