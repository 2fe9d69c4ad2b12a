"""The verbs of `./mesh`."""
