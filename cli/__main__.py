"""`python -m cli`: what the launcher `mesh` runs."""

import gc
import sys

COLLECT_AFTER = 200_000
"""New objects before a collection: a verb is short, and pulumi_aws makes so many that the default costs a third of its time."""

if __name__ == "__main__":
    gc.set_threshold(COLLECT_AFTER, 50, 100)
    try:
        from cli.streams import guard

        guard()
        from cli.app import run

        run(sys.argv[1:])
    except KeyboardInterrupt:
        # Of typer's own outside a verb's run; Exit.INTERRUPTED may not be imported yet.
        sys.exit(130)
