"""The one generic engine: what the Pulumi engine asks of any resource, answered from its row."""

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from local.provider.clients import Clients, is_missing
from local.provider.diff import Change, changes
from local.provider.row import INPUTS_TAG, URN_TAG, Call, Failure, Made, Properties, Row
from local.provider.wire import UNKNOWN, is_known

MAX_TAG_VALUE = 256
DEFAULTS = "__defaults"
"""Input that names the inputs which the provider chose itself, as the real provider's bridge notes them."""

Invoke = Callable[[Call], Properties]
Answer = TypeVar("Answer")


class ProviderError(Exception):
    """A call that the provider refuses; the text says what, why and what to do."""


@dataclass(frozen=True)
class Difference:
    """What an update of a resource would mean."""

    changes: tuple[Change, ...]
    replaces: tuple[str, ...]
    delete_before_replace: bool


class Engine:
    """Serves the rows of a table against one cloud; thread-safe."""

    def __init__(self, rows: Mapping[str, Row], invokes: Mapping[str, Invoke], clients: Clients) -> None:
        self._rows = rows
        self._invokes = invokes
        self._clients = clients
        self._known: dict[str, set[str]] = defaultdict(set)
        self._lock = threading.Lock()
        self.region = clients.region

    def row(self, urn: str) -> Row:
        """The row of a resource's type, which is the last of the types in its URN."""
        token = urn.split("::")[2].split("$")[-1]
        if token not in self._rows:
            package = token.split(":", 1)[0]
            near = ", ".join(sorted(name for name in self._rows if name.startswith(f"{package}:"))) or "none"
            raise ProviderError(
                f"{token}: the local provider has no row for this resource type. "
                f"Add one to its table in local/provider (a row is create, read, update, delete and the inputs that replace), "
                f"or leave the resource out of the local stack. Types of package {package!r} it has: {near}"
            )
        return self._rows[token]

    def check(self, urn: str, olds: Properties, news: Properties) -> tuple[Properties, list[Failure]]:
        """Inputs with a name where the program gave none; unknown inputs pass as they came."""
        row = self.row(urn)
        inputs = row.prepare(dict(news))
        if row.autoname and inputs.get(row.autoname) is None:
            inputs[row.autoname] = self._name(urn, row.autoname, olds, inputs)
            inputs[DEFAULTS] = [row.autoname]
        known = {name: value for name, value in inputs.items() if is_known(value)}
        return inputs, row.check(known)

    def _name(self, urn: str, key: str, olds: Properties, inputs: Properties) -> str:
        """Random to the eye, but the same in every run until the engine has that resource: so an orphan of a killed run is found."""
        if key in olds.get(DEFAULTS, []):
            return str(olds[key])
        suffix = hashlib.sha256("\n".join([urn, *sorted(self._known[urn])]).encode()).hexdigest()
        prefix = inputs.get(f"{key}Prefix")
        if isinstance(prefix, str) and prefix != UNKNOWN:
            return f"{prefix}{suffix[:26]}"
        name = f"{urn.rsplit('::', 1)[-1]}-{suffix[:7]}"
        return name.lower() if key == "bucket" else name

    def diff(self, urn: str, resource_id: str, old: Properties, new: Properties, state: Properties) -> Difference:
        row = self.row(urn)
        self._note(urn, resource_id)
        found = changes(old, new)
        replaces = [change.path for change in found if row.update is None or change.root in row.replace]
        renewal = row.renewal(state) if row.renewal else None
        if renewal:
            replaces.append(renewal)
        named = row.autoname is not None and row.autoname not in new.get(DEFAULTS, []) and old.get(row.autoname) == new.get(row.autoname)
        return Difference(tuple(found), tuple(replaces), bool(replaces) and (row.delete_before_replace or named))

    def create(self, urn: str, inputs: Properties, *, preview: bool = False) -> tuple[str, Properties]:
        row = self.row(urn)
        if preview:
            return "", {**self._shown(urn, inputs), **_foreseen(row, inputs)}
        call = self._call(urn, inputs, stamp=self._stamp(urn, inputs))
        made = self._adopted(row, call) or row.create(call)
        resource_id = made.id if isinstance(made, Made) else made
        self._note(urn, resource_id)
        if isinstance(made, Made):
            return resource_id, {**self._shown(urn, inputs), **made.outputs}
        return resource_id, self._outputs(row, self._call(urn, inputs, resource_id=resource_id))

    def read(self, urn: str, resource_id: str, inputs: Properties, state: Properties) -> Properties | None:
        """A resource's outputs now, or None when the cloud does not have it."""
        row = self.row(urn)
        self._note(urn, resource_id)
        if row.read is None:
            return state or None
        live = _unless_missing(row.read, self._call(urn, inputs or state, resource_id=resource_id, state=state))
        return None if live is None else {**state, **self._shown(urn, inputs), **live}

    def update(
        self, urn: str, resource_id: str, old: Properties, new: Properties, state: Properties, *, preview: bool = False
    ) -> Properties:
        """Applies what differs between the old and the new inputs, and nothing else."""
        row = self.row(urn)
        self._note(urn, resource_id)
        changed = frozenset(change.root for change in changes(old, new))
        if preview:
            unknown = dict.fromkeys(row.outputs_changed_by(changed), UNKNOWN)
            return {**state, **self._shown(urn, new), **unknown, **_foreseen(row, new)}
        call = self._call(urn, new, resource_id=resource_id, old=old, state=state, changed=changed, stamp=self._stamp(urn, new))
        if row.update is not None and changed:
            row.update(call)
        kept = {name: value for name, value in state.items() if name in new or name not in old}
        if row.read is None:
            return {**kept, **self._shown(urn, new), **_foreseen(row, new)}
        return {**kept, **self._outputs(row, call)}

    def delete(self, urn: str, resource_id: str, inputs: Properties, state: Properties) -> None:
        row = self.row(urn)
        self._note(urn, resource_id)
        self._delete(row, self._call(urn, inputs or state, resource_id=resource_id, state=state))

    def invoke(self, token: str, arguments: Properties) -> Properties:
        if token not in self._invokes:
            raise ProviderError(
                f"{token}: the local provider does not answer this function. "
                f"Add it to local/provider/invokes.py; it has: {', '.join(sorted(self._invokes))}"
            )
        return self._invokes[token](self._call("", arguments))

    def _delete(self, row: Row, call: Call) -> None:
        if row.delete is not None:
            _unless_missing(row.delete, call)

    def _adopted(self, row: Row, call: Call) -> str | None:
        """The id of a live resource that an engine which was killed made for this URN and could not write down."""
        for found in (_unless_missing(row.find, call) if row.find else None) or []:
            if found.id in self._known[call.urn]:
                continue
            if found.tags is not None and found.tags.get(URN_TAG) != call.stamp[URN_TAG]:
                continue
            orphan = replace(call, id=found.id, changed=frozenset(call.inputs))
            if found.tags is not None and found.tags.get(INPUTS_TAG) != call.stamp[INPUTS_TAG]:
                self._delete_orphan(row, orphan)
                continue
            if self._is_gone(row, orphan):
                continue
            if row.update is not None and found.tags is not None:
                row.update(orphan)
            return found.id
        return None

    def _delete_orphan(self, row: Row, orphan: Call) -> None:
        try:
            self._delete(row, orphan)
        except Exception as error:
            raise ProviderError(
                f"{orphan.name}: an earlier run that was killed left {orphan.id}, made from other inputs than these; it has to go first, "
                f"but: {error}. Take the change back and run `up`, or start anew with `down`"
            ) from error

    def _is_gone(self, row: Row, call: Call) -> bool:
        return row.read is not None and _unless_missing(row.read, call) is None

    def _outputs(self, row: Row, call: Call) -> Properties:
        live = row.read(call) if row.read else {}
        if live is None:
            raise ProviderError(f"{call.urn}: {call.id} was made but the cloud does not have it any more; run `up` again")
        return {**self._shown(call.urn, call.inputs), **live}

    def _shown(self, urn: str, inputs: Properties) -> Properties:
        """Inputs as outputs, with what every AWS resource adds to them."""
        shown = {name: value for name, value in inputs.items() if not name.startswith("__")}
        if urn.split("::")[2].split("$")[-1].startswith("aws:"):
            shown["region"] = inputs.get("region", self.region)
            shown["tagsAll"] = inputs.get("tags", {}) if not isinstance(inputs.get("tags"), list) else {}
        return shown

    def _call(
        self,
        urn: str,
        inputs: Properties,
        *,
        resource_id: str = "",
        old: Properties | None = None,
        state: Properties | None = None,
        changed: frozenset[str] = frozenset(),
        stamp: Mapping[str, str] | None = None,
    ) -> Call:
        return Call(
            clients=self._clients,
            region=str(inputs.get("region") or (state or {}).get("region") or self.region),
            urn=urn,
            inputs=inputs,
            id=resource_id,
            old=old or {},
            state=state or {},
            changed=changed,
            stamp=stamp or {},
        )

    def _stamp(self, urn: str, inputs: Properties) -> dict[str, str]:
        """`$` is no character of a tag, and a longer value than 256 characters is refused."""
        value = urn.replace("$", "/")
        if len(value) > MAX_TAG_VALUE:
            value = hashlib.sha256(urn.encode()).hexdigest()
        return {URN_TAG: value, INPUTS_TAG: hashlib.sha256(_canonical(inputs)).hexdigest()[:16]}

    def _note(self, urn: str, resource_id: str) -> None:
        """Ids that the engine knows, or was just told, are no orphans."""
        with self._lock:
            self._known[urn].add(resource_id)


def _unless_missing(function: Callable[[Call], Answer], call: Call) -> Answer | None:
    """What `function` answers; None where the cloud says that there is no such resource.

    By the error's code: `client.exceptions` is made on first use without a lock, so threads that share a client can each see classes
    of their own, and `except` misses.
    """
    try:
        return function(call)
    except Exception as error:
        if is_missing(error):
            return None
        raise


def _canonical(inputs: Mapping[str, Any]) -> bytes:
    return json.dumps(inputs, sort_keys=True).encode()


def _foreseen(row: Row, inputs: Properties) -> Properties:
    """What a preview may say of outputs; nothing while inputs wait for other resources."""
    return row.preview(inputs) if row.preview and is_known(inputs) else {}
