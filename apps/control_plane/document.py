"""The mesh document: reads it, refuses one that it cannot serve, keeps the last good one."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from model import contract
from model.http_rules import services_of
from model.problems import ConfigError
from model.read import read_mesh
from model.spec import LOCAL_NETWORK, MeshSpec


class DocumentRefused(ValueError):
    """A document that is not applied; `reason` is one word for the metric."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class MeshDocument:
    """What a stack wants, with the hash of the text that said so."""

    version: str
    stack: str
    spec: MeshSpec
    descriptors: Mapping[str, bytes]
    """Compiled protos of bridges, by service."""


def read_document(text: str, *, stack: str) -> MeshDocument:
    """Reads the text; raises DocumentRefused when it is broken, of a newer schema, of another stack, or no valid mesh."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise DocumentRefused("broken", f"mesh document is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise DocumentRefused("broken", f"mesh document is a {type(data).__name__}, not an object")
    schema = data.get("schema")
    if not isinstance(schema, int) or schema > contract.DOCUMENT_SCHEMA:
        raise DocumentRefused(
            "schema", f"mesh document has schema {schema!r}, this control plane knows up to {contract.DOCUMENT_SCHEMA}: update it first"
        )
    if data.get("stack") != stack:
        raise DocumentRefused("stack", f"mesh document is of stack {data.get('stack')!r}, this control plane serves {stack!r}")
    try:
        spec = read_mesh(data.get("mesh"), local=_is_local(data.get("mesh")), root="mesh document")
    except ConfigError as error:
        raise DocumentRefused("invalid", str(error)) from None
    descriptors = _descriptors(data.get("descriptors", {}), spec)
    return MeshDocument(version=contract.document_version(text), stack=stack, spec=spec, descriptors=descriptors)


def _descriptors(data: Any, spec: MeshSpec) -> dict[str, bytes]:
    try:
        found = {str(name): base64.b64decode(text, validate=True) for name, text in data.items()}
        for compiled in found.values():
            services_of(compiled)
    except (AttributeError, TypeError, ValueError) as error:
        raise DocumentRefused("invalid", f"mesh document.descriptors cannot be read: {error}") from None
    if missing := [name for name, service in spec.services.items() if service.bridge and name not in found]:
        raise DocumentRefused("invalid", f"mesh document.descriptors has no compiled proto for the bridge of {', '.join(missing)}")
    return found


def _is_local(mesh: Any) -> bool:
    """The range decides which rules hold for it; a range that cannot be read is the reader's to name."""
    try:
        return IPv4Network(mesh["network"]["cidr"]).subnet_of(LOCAL_NETWORK)
    except (TypeError, KeyError, ValueError):
        return False
