"""What the config says of tokens and their issuer's clients: audiences, scopes, claims; see `words`."""

import re

from model import words
from model.address_words import https_url
from model.edge_words import BUILTIN
from model.problems import broken
from model.words import line

_SCOPE = r"[!#-\[\]-~]+"
"""RFC 6749, §3.3."""


def issuer(value: object) -> str:
    """`builtin`, or an issuer's URL exactly as its tokens say it."""
    return BUILTIN if value == BUILTIN else https_url(value)


def client_id(value: object) -> str:
    """An OAuth client's id."""
    rule = "a client's id is letters, digits and signs of ASCII (RFC 6749), without blanks at its ends"
    return words.matching(r"[!-~]([ -~]*[!-~])?", value, rule, "write the id that the issuer gave to the edge, for example `mesh-edge`")


def scope(value: object) -> str:
    """A scope."""
    rule = "a scope is one word of ASCII without blanks, quotes and backslashes (RFC 6749)"
    found = words.text(value)
    if not re.fullmatch(_SCOPE, found):
        parts = [part for part in found.split() if re.fullmatch(_SCOPE, part)]
        raise broken(rule, f"write `[{', '.join(parts)}]`" if len(parts) > 1 else "write for example `orders.read`")
    return found


def claim(value: object) -> str:
    """A claim's name. Dots lead into objects, unless it is a URL."""
    name = line(value)
    if "://" not in name and not all(part == part.strip() != "" for part in name.split(".")):
        raise broken("each part of a claim's path has a name: `realm.groups` is `groups` in the object `realm`", "write for example `role`")
    return name


def header_claim(value: object) -> str:
    """A claim's name. Dots lead into objects."""
    name = claim(value)
    if "://" in name:
        rule = "each dot of a claim that fills a header leads into an object, so a URL is never found"
        raise broken(rule, "have the issuer give the claim a plain name too; apps find this one in `x-jwt-payload`")
    return name


def claim_values(value: object) -> object:
    """A list of text, at least 1 entry."""
    if value == []:
        raise broken("a claim must have one of these values, so an empty list lets nobody in", "name the values, or remove the claim")
    return value
