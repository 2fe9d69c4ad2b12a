"""The root of the errors that a program of ours raises on purpose."""


class MeshError(Exception):
    """Something that a person can mend: the text names the place, the value, the rule and the fix."""
