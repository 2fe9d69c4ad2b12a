"""The discovery child, `python -m apps.control_plane.discovery.aws`: asks AWS, writes reports to stdout, ends with its stdin.

A process of its own because the SDK costs memory and CPU that the push path must not pay. Its threads: one for each region
of the stack sweeps machines and does lifecycle duties, one polls the document and the certificates, one asks for what logins
and tokens need, one renews by ACME; a slow EC2, issuer or authority never delays a route change.
"""

import argparse
import importlib
import os
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta

from apps.common.aws import aws_client
from apps.control_plane.discovery.auth_polls import IssuerPoll, LoginSecretsPoll, auth_of
from apps.control_plane.discovery.judge import Judge
from apps.control_plane.discovery.machines import Machine
from apps.control_plane.discovery.polls import DocumentPoll, EdgeTlsPoll
from apps.control_plane.discovery.readiness import ReadyProbe
from apps.control_plane.discovery.regions import OWN, Gathering, OuterRegions
from apps.control_plane.discovery.reports import DocumentReport, FaultReport, Report, SweepReport, to_line
from apps.control_plane.discovery.sweep import Sweeper
from apps.control_plane.lifecycle import Duties, carry_out
from apps.control_plane.renewal.wish import wish_of
from model.contract import Role

JITTER = 0.15
LONGEST_PAUSE = 30.0
READY_ROUND_SECONDS = 0.25
"""Between two rounds of asking machines that wait for their launching hook."""
EDGE_TLS_SECONDS = 10.0
EDGE_TLS_FIRST_SECONDS = 2.0
AUTH_SECONDS = 60.0
AUTH_FIRST_SECONDS = 2.0
AUTH_LOOK_SECONDS = 0.5
"""Between two looks whether the document has changed."""


def pause_after(interval: float, failures: int) -> float:
    """Seconds to the next attempt: doubled by each failure in a row, so that a throttled account gets air."""
    return min(interval * 2.0 ** min(failures, 10), max(LONGEST_PAUSE, interval))


class SweepLoop:
    """Sweeps one region; between sweeps it serves machines that a hook holds."""

    def __init__(
        self,
        sweeper: Sweeper,
        duties: Duties,
        autoscaling: object,
        *,
        interval: float,
        tell: Callable[[Report], None],
        gathering: Gathering,
    ) -> None:
        self._sweeper = sweeper
        self._duties = duties
        self._autoscaling = autoscaling
        self._interval = interval
        self._tell = tell
        self._gathering = gathering
        self._probe = ReadyProbe()
        self._ready: set[str] = set()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Lets `run` return soon."""
        self._stopped.set()

    def run(self) -> None:
        """Sweeps until stopped."""
        failures = 0
        while not self._stopped.is_set():
            begun = time.monotonic()
            believed = self._sweeper.sweep()
            failures = 0 if believed else failures + 1
            self.serve_waiting(fresh=believed)
            if believed and self._sweeper.region == OWN:
                self._tell(SweepReport(seconds=round(time.monotonic() - begun, 4), cpu_seconds=round(time.process_time(), 3)))
            until = begun + pause_after(self._interval, failures) * random.uniform(1 - JITTER, 1 + JITTER)
            while (left := until - time.monotonic()) > 0:
                waiting = any(machine.waits_to_serve or machine.waits_to_end for machine in self._sweeper.machines or ())
                time.sleep(min(left, READY_ROUND_SECONDS) if waiting else left)
                if waiting:
                    self.serve_waiting(fresh=False)

    def serve_waiting(self, *, fresh: bool) -> None:
        """Asks who is ready, tells who takes part, and only then completes actions: a drain is seen before it is over.

        `fresh` says that the machines were looked at just now.
        """
        machines = self._sweeper.machines
        if machines is None:
            return
        waiting = [m for m in machines if m.waits_to_serve and m.reachable and m.instance not in self._ready]
        self._ready |= self._probe.ready(waiting)
        self._ready &= {machine.instance for machine in machines}
        sightings = (machine.sighting(ready=machine.instance in self._ready) for machine in machines)
        self._gathering.share(self._sweeper.region, tuple(sighting for sighting in sightings if sighting))
        serving = self._serving_planes(machines) if fresh else None
        for duty in self._duties.due(machines, ready=self._ready, now=time.monotonic(), serving=serving):
            if done := carry_out(duty, self._autoscaling):
                self._tell(done)

    def _serving_planes(self, machines: Sequence[Machine]) -> set[str]:
        """Control planes that answer, asked only while one of them waits to end."""
        planes = [machine for machine in machines if machine.role == Role.CONTROL_PLANE]
        if not any(plane.waits_to_end for plane in planes):
            return set()
        return self._probe.ready([plane for plane in planes if plane.reachable])


def poll_objects(document: DocumentPoll, edge_tls: EdgeTlsPoll, *, interval: float, tell: Callable[[Report], None]) -> None:
    """Polls the document each interval and the certificates at most as often, at once when the document has changed; for ever."""
    failures = 0
    next_certificates = 0.0
    while True:
        report = document.poll()
        if report:
            tell(report)
        if isinstance(report, DocumentReport):
            next_certificates = 0.0
        failures = failures + 1 if isinstance(report, FaultReport) else 0
        if time.monotonic() >= next_certificates:
            for news in edge_tls.poll(document.text):
                tell(news)
            next_certificates = time.monotonic() + (EDGE_TLS_SECONDS if edge_tls.complete else EDGE_TLS_FIRST_SECONDS)
        time.sleep(min(pause_after(interval, failures), 5.0) * random.uniform(1 - JITTER, 1))


def poll_auth(document: DocumentPoll, issuer: IssuerPoll, secrets: LoginSecretsPoll, *, tell: Callable[[Report], None]) -> None:
    """Asks for the issuer's endpoints and for the secrets of logins each minute, at first more often, for ever."""
    asked, next_round = "", 0.0
    while True:
        if document.text != asked or time.monotonic() >= next_round:
            asked = document.text
            auth = auth_of(asked)
            reports = [secrets.poll(auth), issuer.poll(auth)]
            for report in reports:
                if report:
                    tell(report)
            missing = any(isinstance(report, FaultReport) for report in reports) and not (secrets.last and issuer.knows(auth))
            next_round = time.monotonic() + (AUTH_FIRST_SECONDS if missing else AUTH_SECONDS) * random.uniform(1 - JITTER, 1)
        time.sleep(AUTH_LOOK_SECONDS)


def keep_certificate(document: DocumentPoll, *, stack: str, bucket: str, tell: Callable[[Report], None]) -> None:
    """Renews by ACME once a document wishes it; the libraries for it cost 20 MB, so that only such stacks load them."""
    while wish_of(document.text) is None:
        time.sleep(AUTH_LOOK_SECONDS)
    keeping = importlib.import_module("apps.control_plane.renewal.keeping")
    keeping.keep(lambda: document.text, keeping.renewal_of(os.environ, stack=stack, bucket=bucket), tell)


def end_with_parent() -> None:
    """Ends the process when its stdin does: also a killed control plane leaves no child behind."""
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def start(work: Callable[[], None]) -> None:
    """Runs `work` in a thread. No thread goes on without the others: the parent starts a whole child anew."""

    def run() -> None:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    threading.Thread(target=run, daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m apps.control_plane.discovery.aws", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--inside", action="store_true", help="this process runs on a machine of the stack")
    parser.add_argument("--sweep-seconds", type=float, required=True)
    parser.add_argument("--document-seconds", type=float, required=True)
    parser.add_argument("--drain-seconds", type=float, required=True)
    options = parser.parse_args()
    writing = threading.Lock()

    def tell(report: Report) -> None:
        with writing:
            sys.stdout.buffer.write(to_line(report))
            sys.stdout.buffer.flush()

    env = os.environ
    s3, ssm = (aws_client(name, env) for name in ("s3", "ssm"))
    threading.Thread(target=end_with_parent, daemon=True).start()
    gathering = Gathering(tell)

    def sweeps_of(region: str) -> SweepLoop:
        there = env if region == OWN else {**env, "AWS_REGION": region}
        ec2, autoscaling = (aws_client(name, there) for name in ("ec2", "autoscaling"))
        # This process is a machine of the stack's own region alone: any other may be empty.
        judge = Judge(inside=options.inside and region == OWN)
        sweeper = Sweeper(ec2, autoscaling, stack=options.stack, judge=judge, fault=tell, region=region)
        duties = Duties(drain=timedelta(seconds=options.drain_seconds))
        return SweepLoop(sweeper, duties, autoscaling, interval=options.sweep_seconds, tell=tell, gathering=gathering)

    document, edge_tls = DocumentPoll(s3, bucket=options.bucket), EdgeTlsPoll(ssm, stack=options.stack)

    issuer, secrets = IssuerPoll(), LoginSecretsPoll(ssm, stack=options.stack)
    start(lambda: poll_objects(document, edge_tls, interval=options.document_seconds, tell=tell))
    start(lambda: keep_certificate(document, stack=options.stack, bucket=options.bucket, tell=tell))
    start(lambda: poll_auth(document, issuer, secrets, tell=tell))
    start(OuterRegions(lambda: document.text, sweeps_of, gathering, start).follow)
    sweeps_of(OWN).run()


if __name__ == "__main__":
    main()
