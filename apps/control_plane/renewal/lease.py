"""One holder of a duty at a time: an object in the stack's bucket, changed by conditional writes only."""

import json
import time
from datetime import timedelta
from typing import Any

from apps.common.aws import AwsError, error_code

PREFIX = "control/leases/"
LOST = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
"""Codes by which S3 says that another one wrote first."""
ABSENT = frozenset({"NoSuchKey", "404"})


class Lease:
    """A duty's holder until a time. Clocks of the replicas may differ by much less than `lasting`, as machines' do."""

    def __init__(self, s3: Any, *, bucket: str, duty: str, holder: str, lasting: timedelta) -> None:
        self._s3 = s3
        self._place = {"Bucket": bucket, "Key": f"{PREFIX}{duty}.json"}
        self._holder = holder
        self._lasting = lasting.total_seconds()
        self._etag = ""
        self._until = 0.0

    @property
    def held(self) -> bool:
        """Whether the duty is still this holder's; to ask before each thing that only one may do."""
        return time.time() < self._until

    def take(self) -> bool:
        """Whether the duty is this holder's now; raises what AWS raises."""
        try:
            answer = self._s3.get_object(**self._place)
            found = json.loads(answer["Body"].read())
        except AwsError as error:
            if error_code(error) not in ABSENT:
                raise
            return self._write(time.time() + self._lasting, IfNoneMatch="*")
        if found["holder"] != self._holder and found["until"] > time.time():
            return False
        return self._write(time.time() + self._lasting, IfMatch=answer["ETag"])

    def give_back(self) -> None:
        """Lets another one take it at once; a lease that was lost meanwhile stays its new holder's."""
        if self.held:
            self._write(0.0, IfMatch=self._etag)

    def _write(self, until: float, **condition: str) -> bool:
        body = json.dumps({"holder": self._holder, "until": until}).encode()
        try:
            self._etag = self._s3.put_object(**self._place, Body=body, **condition)["ETag"]
        except AwsError as error:
            if error_code(error) not in LOST:
                raise
            self._until = 0.0
            return False
        self._until = until
        return True
