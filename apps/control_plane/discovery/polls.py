"""What changes rarely and is asked for often: the mesh document in S3, the edge's certificates in SSM."""

import json
from typing import Any

from apps.common.aws import AwsError, error_code
from apps.control_plane.discovery.reports import DocumentReport, EdgeTlsReport, FaultReport
from model import contract

NOT_MODIFIED = "304"


class DocumentPoll:
    """A conditional GET: the document comes over the wire only when it is another one."""

    def __init__(self, s3: Any, *, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._etag: str | None = None
        self.text = ""
        """The document as it came last."""

    def poll(self) -> DocumentReport | FaultReport | None:
        """The document when it is new, a fault when S3 failed, else None."""
        condition = {} if self._etag is None else {"IfNoneMatch": self._etag}
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=contract.DOCUMENT_KEY, **condition)
            text = answer["Body"].read().decode(errors="replace")
        except (*AwsError, OSError) as error:
            code = error_code(error)
            return None if code == NOT_MODIFIED else FaultReport(api="s3:GetObject", code=code, text=str(error))
        self._etag, self.text = answer["ETag"], text
        return DocumentReport(text=text)


class EdgeTlsPoll:
    """Both halves of each of the edge's certificates in one call, so that a rotation is seen whole."""

    def __init__(self, ssm: Any, *, stack: str) -> None:
        self._ssm = ssm
        self._stack = stack
        self._wanted: list[str] = []
        self._told: dict[str, EdgeTlsReport] = {}

    @property
    def complete(self) -> bool:
        """Whether every certificate has been read once."""
        return len(self._told) == len(self._wanted) > 0

    def poll(self, document: str) -> list[EdgeTlsReport | FaultReport]:
        """What is new of the certificates that the document wants; a fault for each that could not be read whole."""
        self._wanted = certificate_paths(document, stack=self._stack) or self._wanted
        self._told = {path: report for path, report in self._told.items() if path in self._wanted}
        return [report for path in self._wanted if (report := self._read(path))]

    def _read(self, path: str) -> EdgeTlsReport | FaultReport | None:
        chain, key = names = contract.certificate_parameters(path)
        try:
            answer = self._ssm.get_parameters(Names=list(names), WithDecryption=True)
        except AwsError as error:
            return FaultReport(api="ssm:GetParameters", code=error_code(error), text=str(error))
        values = {item["Name"]: item["Value"] for item in answer["Parameters"]}
        missing = [name for name in names if name not in values]
        if missing:
            return FaultReport(api="ssm:GetParameters", code="ParameterNotFound", text=f"no parameter {', '.join(missing)}")
        report = EdgeTlsReport(path=path, chain=values[chain], key=values[key])
        if self._told.get(path) == report:
            return None
        self._told[path] = report
        return report


def certificate_paths(document: str, *, stack: str) -> list[str]:
    """SSM paths of all certificates that a mesh document wants, the default one first; none where it cannot be read."""
    try:
        tls = json.loads(document)["mesh"].get("edge", {}).get("tls", {})
        default = {"secret": tls.get("secret"), "acme": contract.acme_path(stack)}.get(tls.get("mode"), contract.edge_tls_path(stack))
        return [str(default), *(str(item["secret"]) for item in tls.get("certificates", ()))]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
