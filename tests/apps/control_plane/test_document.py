"""Which mesh documents are applied, and why the others are not."""

import json
from typing import Any

import pytest

from apps.control_plane.document import DocumentRefused, read_document
from model import contract

MESH: dict[str, Any] = {
    "domain": "t.mesh.internal",
    "network": {"cidr": "127.20.0.0/16"},
    "services": {"web": {"image": {"build": "apps/http_service"}, "port": 8080, "routes": [{"prefix": "/web"}]}},
}
INFO = {
    "protocol": "grpc",
    "image": {"build": "apps/grpc_service"},
    "port": 50051,
    "bridge": {"prefix": "/info", "proto": "apps/protos/info.proto"},
}
BRIDGED = {**MESH, "services": {"info": INFO}}
DOCUMENT: dict[str, Any] = {"schema": contract.DOCUMENT_SCHEMA, "stack": "t", "region": "eu-central-1", "mesh": MESH}


def test_a_document_is_read_and_named_by_its_content() -> None:
    one = read_document(json.dumps(DOCUMENT), stack="t")
    two = read_document(json.dumps({**DOCUMENT, "mesh": {**MESH, "edge": {"instances": 1}}}), stack="t")
    assert one.spec.services["web"].port == 8080
    assert one.version == read_document(json.dumps(DOCUMENT), stack="t").version
    assert one.version != two.version


def test_what_pulumi_writes_is_what_we_read() -> None:
    spec = read_document(json.dumps(DOCUMENT), stack="t").spec
    again = read_document(json.dumps({**DOCUMENT, "mesh": spec.document()}), stack="t").spec
    assert again == spec


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ('{"schema": 1, "mesh": ', "broken", "not JSON"),
        ("[]", "broken", "is a list, not an object"),
        (json.dumps({**DOCUMENT, "schema": contract.DOCUMENT_SCHEMA + 1}), "schema", "update it first"),
        (json.dumps({key: value for key, value in DOCUMENT.items() if key != "schema"}), "schema", "schema None"),
        (json.dumps({**DOCUMENT, "stack": "other"}), "stack", "of stack 'other'"),
        (json.dumps({**DOCUMENT, "mesh": {**MESH, "services": {}}}), "invalid", "mesh document.services"),
        (json.dumps({**DOCUMENT, "descriptors": {"web": "?"}}), "invalid", "descriptors cannot be read"),
        (json.dumps({**DOCUMENT, "descriptors": {"web": "AAAA"}}), "invalid", "not a FileDescriptorSet"),
        (json.dumps({**DOCUMENT, "descriptors": ["web"]}), "invalid", "descriptors cannot be read"),
        (json.dumps({**DOCUMENT, "mesh": BRIDGED}), "invalid", "no compiled proto for the bridge of info"),
        (json.dumps({**DOCUMENT, "mesh": None}), "invalid", "mesh document"),
        (json.dumps({**DOCUMENT, "mesh": {**MESH, "network": {"cidr": 7}}}), "invalid", "network.cidr"),
    ],
)
def test_a_document_that_cannot_be_served_is_refused_with_its_reason(text: str, reason: str, words: str) -> None:
    with pytest.raises(DocumentRefused) as refused:
        read_document(text, stack="t")
    assert refused.value.reason == reason
    assert words in str(refused.value)
