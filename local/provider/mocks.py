"""The provider's rows under Pulumi's mocks: a program's components run in a test and moto then holds what they made."""

import threading
import uuid
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from local.provider.clients import Clients
from local.provider.engine import Engine, ProviderError
from local.provider.invokes import INVOKES
from local.provider.row import Properties
from local.provider.table import ROWS
from local.provider.wire import ASSET, SIGNATURE, reveal


class MotoMocks(Mocks):
    """`pulumi.runtime.set_mocks(MotoMocks(url, region), preview=False)`: custom resources are made in moto, components only named.

    Inputs are checked first, so what the provider refuses fails the test with the provider's own words. A failure ends in `problems`
    as well, since the SDK reports some of them only on stderr. Nothing is adopted: a second instance over the same moto starts anew.
    """

    def __init__(self, moto_url: str, region: str, *, project: str = "project", stack: str = "stack") -> None:
        self.clients = Clients(moto_url, region)
        self.engine = Engine(ROWS, INVOKES, self.clients)
        self.made: dict[tuple[str, str], tuple[str, Properties]] = {}
        """(type, logical name) -> id and outputs of every custom resource."""
        self.problems: list[str] = []
        self._place = f"urn:pulumi:{stack}-{uuid.uuid4().hex[:8]}::{project}"
        self._lock = threading.Lock()

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        inputs = _plain(args.inputs)
        if args.custom is False and not args.resource_id:
            return args.name, inputs
        if args.typ.startswith("pulumi:"):
            return args.name, inputs
        try:
            made = self._make(args.typ, args.name, inputs, args.resource_id)
        except Exception as error:
            with self._lock:
                self.problems.append(f"{args.typ} {args.name}: {error}")
            raise
        with self._lock:
            self.made[args.typ, args.name] = made
        return made

    def _make(self, token: str, name: str, inputs: Properties, existing: str | None) -> tuple[str, Properties]:
        urn = f"{self._place}::{token}::{name}"
        if existing:
            outputs = self.engine.read(urn, existing, inputs, {})
            if outputs is None:
                raise ProviderError(f"{token} {name}: the cloud has no {existing} to read")
            return existing, outputs
        checked, failures = self.engine.check(urn, {}, inputs)
        if failures:
            raise ProviderError("; ".join(f"{name}.{failure.property}: {failure.reason}" for failure in failures))
        return self.engine.create(urn, checked)

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        return self.engine.invoke(args.token, _plain(args.args)), []


def _plain(value: Any) -> Any:
    """Mocks see Python values: assets as objects, secrets in their envelope."""
    if isinstance(value, dict):
        return reveal({key: _plain(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, pulumi.StringAsset):
        return {SIGNATURE: ASSET, "text": value.text}
    if isinstance(value, pulumi.FileAsset):
        return {SIGNATURE: ASSET, "path": value.path}
    return reveal(value)
