"""`python -m local.supervisor --state DIR --region R --cidr C`: runs one stack's supervisor in the foreground."""

import argparse
import asyncio
import logging
import os
import sys
from ipaddress import IPv4Network
from pathlib import Path

from local.isolation import isolate
from local.stacks.state import StackState
from local.supervisor.identity import hold_lock


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.supervisor", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="the stack's state directory")
    parser.add_argument("--region", required=True, help="the AWS region that the cloud plays")
    parser.add_argument("--cidr", type=IPv4Network, required=True, help="the stack's address range")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s level=%(levelname)s logger=%(name)s %(message)s")
    for quiet in ("botocore", "boto3", "urllib3", "werkzeug", "asyncio"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
    isolate(os.environ)
    state = StackState(arguments.state.absolute())
    lock = hold_lock(state)
    if lock is None:
        print(f"another supervisor runs for {state.root}", file=sys.stderr)
        return 1
    from local.supervisor.supervisor import Supervisor

    with lock:
        asyncio.run(Supervisor(state, region=arguments.region, cidr=arguments.cidr).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
