"""Rows of `random`: values drawn once and kept in the engine's state."""

import base64
import secrets
import string

from local.provider.row import Call, Failure, Made, Properties, Row

SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
_CLASSES = {"lower": string.ascii_lowercase, "upper": string.ascii_uppercase, "numeric": string.digits}
_WORDS = (
    "amber",
    "brave",
    "calm",
    "dapper",
    "eager",
    "fond",
    "gentle",
    "happy",
    "keen",
    "lively",
    "merry",
    "noble",
    "proud",
    "quick",
    "witty",
)
_ANIMALS = (
    "badger",
    "crane",
    "dingo",
    "egret",
    "ferret",
    "gecko",
    "heron",
    "ibex",
    "jackal",
    "koala",
    "lemur",
    "marmot",
    "otter",
    "puffin",
)


def _draw(inputs: Properties) -> str:
    """At least as many characters of each class as asked for, then any of the allowed ones, in random order."""
    classes = {name: characters for name, characters in _CLASSES.items() if inputs.get(name, inputs.get("number", True))}
    if inputs.get("special", True):
        classes["special"] = inputs.get("overrideSpecial") or SPECIAL
    everything = "".join(classes.values())
    least = [
        secrets.choice(characters) for name, characters in classes.items() for _ in range(int(inputs.get(f"min{name.capitalize()}", 0)))
    ]
    drawn = least + [secrets.choice(everything) for _ in range(int(inputs["length"]) - len(least))]
    secrets.SystemRandom().shuffle(drawn)
    return "".join(drawn)


def _check_classes(inputs: Properties) -> list[Failure]:
    least = sum(int(inputs.get(f"min{name}", 0)) for name in ("Lower", "Upper", "Numeric", "Special"))
    length = inputs.get("length")
    if isinstance(length, int) and least > length:
        return [Failure("length", f"length is {length}, but the minimums of the character classes add up to {least}; make it longer")]
    return []


def _create_password(call: Call) -> Made:
    return Made("none", {"result": _draw(call.inputs)})


def _create_string(call: Call) -> Made:
    result = _draw(call.inputs)
    return Made(result, {"result": result})


def _create_id(call: Call) -> Made:
    drawn = secrets.token_bytes(int(call.inputs["byteLength"]))
    prefix = call.inputs.get("prefix", "")
    url = base64.urlsafe_b64encode(drawn).decode().rstrip("=")
    outputs = {
        "b64Std": prefix + base64.b64encode(drawn).decode(),
        "b64Url": prefix + url,
        "dec": f"{prefix}{int.from_bytes(drawn)}",
        "hex": prefix + drawn.hex(),
    }
    return Made(url, outputs)


def _create_pet(call: Call) -> Made:
    inputs = call.inputs
    words = [secrets.choice(_WORDS) for _ in range(int(inputs.get("length", 2)) - 1)]
    name = inputs.get("separator", "-").join([*([inputs["prefix"]] if inputs.get("prefix") else []), *words, secrets.choice(_ANIMALS)])
    return Made(name, {})


ROWS = (
    Row(token="random:index/randomPassword:RandomPassword", create=_create_password, check=_check_classes),
    Row(token="random:index/randomString:RandomString", create=_create_string, check=_check_classes),
    Row(token="random:index/randomId:RandomId", create=_create_id),
    Row(token="random:index/randomPet:RandomPet", create=_create_pet),
)
