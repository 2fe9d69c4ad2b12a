"""Renews for ever, without haste: an authority counts failed orders, and a certificate has weeks left when it is due."""

import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta

from acme.errors import Error as AcmeError
from josepy.errors import Error as JoseError

from apps.common.aws import AwsError, aws_client, error_code
from apps.control_plane.discovery.reports import FaultReport, Report
from apps.control_plane.renewal.lease import Lease
from apps.control_plane.renewal.renewal import Renewal
from apps.control_plane.renewal.route53 import Route53
from apps.control_plane.renewal.wish import Wish, wish_of

LOOK_SECONDS = 1.0
"""Between two looks whether the document wishes something else."""
DUE_SECONDS = 600.0
FIRST_PAUSE = 300.0
LONGEST_PAUSE = 6 * 3600.0
LEASE = timedelta(minutes=15)
"""Longer than an order may take (Route 53 and the authority have minutes each)."""
FAULTS = (*AwsError, AcmeError, JoseError, OSError, LookupError, ValueError)
"""What AWS, the authority, the network and broken answers raise."""


def renewal_of(env: Mapping[str, str], *, stack: str, bucket: str) -> Renewal:
    """With clients for what `env` names, as one of the stack's replicas."""
    lease = Lease(aws_client("s3", env), bucket=bucket, duty="acme", holder=str(uuid.uuid4()), lasting=LEASE)
    return Renewal(aws_client("ssm", env), Route53(aws_client("route53", env)), lease, stack=stack)


class Keeper:
    """Remembers when to try again."""

    def __init__(self, renewal: Renewal, tell: Callable[[Report], None]) -> None:
        self._renewal = renewal
        self._tell = tell
        self._asked: Wish | None = None
        self._failures = 0
        self._next = 0.0

    def look(self, wish: Wish | None, *, now: float) -> None:
        """Renews when it is time at `now` (seconds of any steady clock): at once for another wish, later after failures."""
        if wish != self._asked:
            self._asked, self._failures, self._next = wish, 0, now
        if wish is None or now < self._next:
            return
        try:
            self._renewal.renew_if_due(wish)
        except FAULTS as error:
            self._failures += 1
            self._tell(FaultReport(api="acme:order", code=error_code(error), text=str(error)))
            self._next = now + min(FIRST_PAUSE * 2.0 ** (self._failures - 1), LONGEST_PAUSE)
        else:
            self._failures, self._next = 0, now + DUE_SECONDS


def keep(document: Callable[[], str], renewal: Renewal, tell: Callable[[Report], None]) -> None:
    """Follows the document's wish."""
    keeper = Keeper(renewal, tell)
    while True:
        keeper.look(wish_of(document()), now=time.monotonic())
        time.sleep(LOOK_SECONDS)
