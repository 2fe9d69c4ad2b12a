"""Which document is served after a proxy refused one."""

from apps.control_plane.document import MeshDocument
from apps.control_plane.document_trial import TRIAL_SECONDS, DocumentTrial
from model.spec import MeshSpec

WEB = {"image": {"build": "apps/http_service"}, "port": 8080}
SPEC = MeshSpec.model_validate({"domain": "t.internal", "network": {"cidr": "127.20.0.0/16"}, "services": {"web": WEB}})
A, B, C = (MeshDocument(version=version, stack="t", spec=SPEC, descriptors={}) for version in "abc")
LATER = TRIAL_SECONDS + 1


def test_a_refused_document_gives_way_to_the_one_that_stood_its_trial() -> None:
    trial = DocumentTrial()
    trial.applied(A, now=0)
    trial.applied(B, now=LATER)
    assert trial.nacked(now=LATER + 1) == A
    assert trial.refused == "b"
    assert trial.nacked(now=LATER + 2) is None


def test_the_first_document_stays_for_there_is_no_other() -> None:
    trial = DocumentTrial()
    trial.applied(A, now=0)
    assert trial.nacked(now=1) is None
    assert trial.refused is None


def test_a_document_that_was_replaced_during_its_trial_is_not_returned_to() -> None:
    trial = DocumentTrial()
    trial.applied(A, now=0)
    trial.applied(B, now=LATER)
    trial.applied(C, now=LATER + 1)
    assert trial.nacked(now=LATER + 2) == A


def test_a_refusal_after_the_trial_changes_nothing() -> None:
    trial = DocumentTrial()
    trial.applied(A, now=0)
    trial.applied(B, now=LATER)
    assert trial.nacked(now=2 * LATER) is None
