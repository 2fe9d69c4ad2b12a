"""Reads a program's environment into a pydantic model and names every mistake at once."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from apps.common.errors import MeshError

Settings = TypeVar("Settings", bound="EnvironmentModel")


class EnvironmentModel(BaseModel):
    """Settings of a program: field aliases are the variables' names, and what else is in the environment is left alone."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="ignore")


def read_environment(model: type[Settings], env: Mapping[str, str]) -> Settings:
    """Fills a model; an empty variable counts as not set."""
    present = {name: value for name, value in env.items() if value != ""}
    try:
        return model.model_validate(present)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_input=False)]
        raise MeshError("environment is wrong: " + "; ".join(problems)) from None
