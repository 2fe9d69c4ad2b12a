"""`python -m cli`: what the launcher `mesh` runs."""

import sys

from cli.app import run

if __name__ == "__main__":
    run(sys.argv[1:])
