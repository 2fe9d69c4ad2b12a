"""One row of the provider's table: all that the engine knows of a resource type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.provider.clients import Clients

Properties = dict[str, Any]
"""A resource's inputs or outputs by their camelCase names, as plain JSON-like values; an unknown is the string `wire.UNKNOWN`."""

URN_TAG = "mesh:urn"
"""On every resource that has tags: whose it is. A live resource that the engine's state does not know is adopted by it."""
INPUTS_TAG = "mesh:inputs"
"""Hash of the inputs a resource was made with: an orphan made from other inputs is deleted, not adopted."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What a row's function is given: the resource's inputs and the cloud to apply them to."""

    clients: Clients
    region: str
    urn: str
    inputs: Properties
    id: str = ""
    old: Properties = field(default_factory=dict)
    """Inputs before an update."""
    state: Properties = field(default_factory=dict)
    """Outputs as the engine's state has them."""
    changed: frozenset[str] = frozenset()
    """Names of the inputs that an update has to apply."""
    stamp: Mapping[str, str] = field(default_factory=dict)
    """Our own tags; never part of what the program sees."""

    def client(self, service: str) -> Any:
        return self.clients.get(service, self.region)

    @property
    def name(self) -> str:
        """The resource's logical name: the last part of its URN."""
        return self.urn.rsplit("::", 1)[-1]

    @property
    def tags(self) -> dict[str, str]:
        return {**self.inputs.get("tags", {}), **self.stamp}

    @property
    def account(self) -> str:
        return self.clients.account

    def arn(self, service: str, resource: str, *, regional: bool = True, owned: bool = True) -> str:
        return f"arn:aws:{service}:{self.region if regional else ''}:{self.account if owned else ''}:{resource}"

    def given(self, *names: str) -> Properties:
        """Those of the named inputs that the program gave, by their boto3 names (first letter upper case)."""
        return {pascal(name): self.inputs[name] for name in names if self.inputs.get(name) is not None}


@dataclass(frozen=True)
class Found:
    """A live resource with a row's natural key; `tags` is None for a kind without tags whose live properties equal the inputs."""

    id: str
    tags: Mapping[str, str] | None


@dataclass(frozen=True)
class Made:
    """A resource that no cloud holds (a key, a random value): its outputs are final when it is made."""

    id: str
    outputs: Properties


@dataclass(frozen=True)
class Failure:
    """An input that is refused before anything is made."""

    property: str
    reason: str


def no_failures(_: Properties) -> list[Failure]:
    return []


def _as_given(inputs: Properties) -> Properties:
    return inputs


@dataclass(frozen=True, kw_only=True)
class Row:
    """A resource type: its calls, the inputs that force a replacement, and the outputs that an update may change.

    `read` returns the outputs that the cloud decides (and live values of inputs), or None when the resource is gone; an error that
    says so means the same, also in `find` and `delete`. A row without `read` has its truth in the engine's state. A row without
    `update` replaces on every change.
    """

    token: str
    create: Callable[[Call], str | Made]
    read: Callable[[Call], Properties | None] | None = None
    update: Callable[[Call], None] | None = None
    delete: Callable[[Call], None] | None = None
    find: Callable[[Call], list[Found]] | None = None
    check: Callable[[Properties], list[Failure]] = no_failures
    prepare: Callable[[Properties], Properties] = _as_given
    """Adds inputs that the program cannot know (a hash of files), before anything is compared."""
    replace: frozenset[str] = frozenset()
    volatile: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Output -> inputs whose change makes it unknown in a preview; `ANY` stands for every input."""
    preview: Callable[[Properties], Properties] | None = None
    """Outputs that are known before the resource is made."""
    renewal: Callable[[Properties], str | None] | None = None
    """Names the output whose age asks for a replacement, given the outputs in the state."""
    autoname: str | None = None
    """Input that gets `<logical name>-<7 hex digits>` where the program names nothing."""
    delete_before_replace: bool = False

    def outputs_changed_by(self, changed: frozenset[str]) -> set[str]:
        return {output for output, causes in self.volatile.items() if causes & changed or (ANY in causes and changed)}


ANY = "*"


def pascal(name: str) -> str:
    return name[:1].upper() + name[1:]
