"""Which document to return to when proxies refuse the one that is served.

A document is on trial for a while after it was applied. Refused in that time, it gives way to the last one that stood
its trial, and is not applied again. Later refusals have another cause than the document and change nothing.
"""

from dataclasses import dataclass, field

from apps.control_plane.document import MeshDocument

TRIAL_SECONDS = 30.0


@dataclass(kw_only=True)
class DocumentTrial:
    """Remembers the served document and the last proven one; `now` is seconds of any steady clock."""

    refused: str | None = None
    """Version of the last document that proxies refused."""
    _current: MeshDocument | None = field(default=None, init=False)
    _proven: MeshDocument | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)

    def applied(self, document: MeshDocument, *, now: float) -> None:
        """A new document is served."""
        if self._current is not None and now - self._since >= TRIAL_SECONDS:
            self._proven = self._current
        self._current, self._since = document, now

    def nacked(self, *, now: float) -> MeshDocument | None:
        """A proxy refused what it was sent: the document to serve instead, or None to go on."""
        if self._current is None or self._proven is None or self._current == self._proven or now - self._since >= TRIAL_SECONDS:
            return None
        self.refused = self._current.version
        self._current = self._proven
        return self._proven
