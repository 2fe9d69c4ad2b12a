"""Two objects that change rarely and are asked for often: the mesh document in S3, the edge's certificate in SSM."""

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
    """Both halves of the edge's certificate in one call, so that a rotation is seen whole."""

    def __init__(self, ssm: Any, *, stack: str) -> None:
        self._ssm = ssm
        self._names = tuple(contract.edge_tls_parameter(stack, item) for item in ("certificate", "key"))
        self.last: EdgeTlsReport | None = None

    def poll(self) -> EdgeTlsReport | FaultReport | None:
        """The pair when it is new, a fault when it could not be read whole, else None."""
        try:
            answer = self._ssm.get_parameters(Names=list(self._names), WithDecryption=True)
        except AwsError as error:
            return FaultReport(api="ssm:GetParameters", code=error_code(error), text=str(error))
        values = {item["Name"]: item["Value"] for item in answer["Parameters"]}
        missing = [name for name in self._names if name not in values]
        if missing:
            return FaultReport(api="ssm:GetParameters", code="ParameterNotFound", text=f"no parameter {', '.join(missing)}")
        pair = EdgeTlsReport(chain=values[self._names[0]], key=values[self._names[1]])
        if pair == self.last:
            return None
        self.last = pair
        return pair
