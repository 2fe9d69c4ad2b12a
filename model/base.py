"""The base of all parts of the stack config, and the kinds of values that many of them have."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt
from pydantic.alias_generators import to_camel

from model import words

Port = Annotated[StrictInt, Field(ge=1, le=65535)]
InstanceType = Annotated[str, BeforeValidator(words.instance_type)]
Seconds = Annotated[float, BeforeValidator(words.seconds)]
Parameter = Annotated[str, BeforeValidator(words.parameter)]


class Spec(BaseModel):
    """A part of the config: immutable, unknown keys refused, camelCase outside and snake_case inside."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=False, validate_by_alias=True)
