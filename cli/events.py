"""Follows the engine's event stream: how far an operation is, what it changes, what failed and the stack's outputs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pulumi.automation import EngineEvent, OpType, StepEventMetadata

from cli.progress import Step

STACK_TYPE = "pulumi:pulumi:Stack"
COLOUR = re.compile(r"<\{%[^%]*%\}>")
UNCHANGED = (OpType.SAME, OpType.READ, OpType.REFRESH)
WORDS = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted", "same": "unchanged"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """One resource that an operation changes, or would change."""

    operation: str
    type: str
    name: str
    keys: tuple[str, ...]
    """Inputs that differ; empty for created and deleted resources."""


@dataclass(kw_only=True)
class Watch:
    """Collects the events of one operation; `follow` is its callback, called from the event server's threads."""

    step: Step
    done: int = 0
    total: int = 1
    """Resources that the program declared so far, with the stack itself."""
    changes: list[Change] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    outputs: dict[str, Any] | None = None

    def declared(self) -> None:
        """The program declared one more resource."""
        self.total += 1

    def follow(self, event: EngineEvent) -> None:
        """Takes one event in."""
        if event.resource_pre_event is not None:
            self._started(event.resource_pre_event.metadata)
        elif event.res_outputs_event is not None:
            self._finished(event.res_outputs_event.metadata)
        elif event.res_op_failed_event is not None:
            self.step.update(current=f"failed: {_name(event.res_op_failed_event.metadata.urn)}")
        elif event.diagnostic_event is not None:
            diagnostic = event.diagnostic_event
            text = COLOUR.sub("", diagnostic.message).strip()
            if diagnostic.severity == "error" and text:
                place = f"{diagnostic.urn.split('::')[-1]}: " if diagnostic.urn and STACK_TYPE not in diagnostic.urn else ""
                self.errors.append(place + text)
        elif event.summary_event is not None:
            self.counts = {str(getattr(key, "value", key)): count for key, count in event.summary_event.resource_changes.items()}

    def sentence(self) -> str:
        """The counts as words: `12 created, 1 updated`; `0 changes, 180 unchanged` when nothing changed."""
        parts = [f"{count} {WORDS[key]}" for key, count in self.counts.items() if key in WORDS and key != "same" and count]
        same = self.counts.get("same", 0)
        return ", ".join([*(parts or ["0 changes"]), *([f"{same} unchanged"] if same else [])])

    def _started(self, metadata: StepEventMetadata) -> None:
        if metadata.op in UNCHANGED:
            return
        self.step.update(current=f"{_verb(metadata)} {_name(metadata.urn)}")
        if metadata.op not in (OpType.CREATE_REPLACEMENT, OpType.DELETE_REPLACED):
            self.changes.append(_change(metadata))

    def _finished(self, metadata: StepEventMetadata) -> None:
        if metadata.op not in (OpType.REFRESH, OpType.DELETE, OpType.DELETE_REPLACED):
            self.done += 1
            self.step.update(done=self.done, total=max(self.total, self.done))
        if metadata.type == STACK_TYPE and metadata.new is not None and metadata.new.outputs:
            self.outputs = {name: _shown(value) for name, value in metadata.new.outputs.items()}


def _shown(value: Any) -> Any:
    """A secret comes as a mapping with its text blinded."""
    return value["ciphertext"] if isinstance(value, dict) and "ciphertext" in value else value


def _verb(metadata: StepEventMetadata) -> str:
    return str(metadata.op.value)


def _name(urn: str) -> str:
    """`aws:ec2/instance:Instance edge-a` of a URN."""
    return " ".join([urn.split("::")[2].split("$")[-1], urn.split("::")[-1]]) if urn.count("::") >= 3 else urn


def _change(metadata: StepEventMetadata) -> Change:
    detailed: Mapping[str, Any] = metadata.detailed_diff or {}
    keys = tuple(sorted(detailed or metadata.diffs or ()))
    creates_or_deletes = metadata.op in (OpType.CREATE, OpType.DELETE)
    return Change(operation=_verb(metadata), type=metadata.type, name=metadata.urn.split("::")[-1], keys=() if creates_or_deletes else keys)
