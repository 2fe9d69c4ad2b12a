"""What a mesh document says of ACME. Apart from the rest, whose libraries cost memory: most stacks want no ACME."""

import json
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Wish:
    """`edge.tls.acme` of the mesh document."""

    email: str
    directory: str
    domains: tuple[str, ...]


def wish_of(document: str) -> Wish | None:
    """What a mesh document's text wishes; None where its mode is another, or where it cannot be read."""
    try:
        tls = json.loads(document)["mesh"]["edge"]["tls"]
        if tls["mode"] != "acme":
            return None
        acme = tls["acme"]
        return Wish(email=str(acme["email"]), directory=str(acme["directory"]), domains=tuple(map(str, acme["domains"])))
    except (ValueError, KeyError, TypeError):
        return None
