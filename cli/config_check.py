"""Checks a stack's config as the program will, before anything is started: all mistakes at once, as a list for a person."""

import json
from typing import Any

import pulumi.runtime

from cli.mistakes import refuse
from cli.workspace import StackFile
from model.contract import PROJECT
from model.problems import ConfigError
from model.spec import MeshSpec
from settings import read_settings


def check(stack: str, file: StackFile) -> MeshSpec:
    """The stack's mesh; raises Stop with exit code 2 after printing every mistake."""
    pulumi.runtime.set_all_config({key: _as_pulumi_passes(value) for key, value in file.content["config"].items()})
    pulumi.runtime.configure(pulumi.runtime.Settings(project=PROJECT, stack=stack, dry_run=True))
    try:
        return read_settings().mesh
    except ConfigError as error:
        refuse(file.path.name, error)


def _as_pulumi_passes(value: Any) -> str:
    """A program gets each value as text: null as an empty one, all else that is no text as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
