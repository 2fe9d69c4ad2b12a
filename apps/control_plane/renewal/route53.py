"""DNS-01 answers in public zones of Route 53 (RFC 8555, §8.4)."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

CHALLENGE_PREFIX = "_acme-challenge."
TTL_SECONDS = 30
POLL_SECONDS = 2.0


class ZoneMissing(LookupError):
    """No public zone of the account holds a domain."""


class Route53:
    """TXT records that stand while an order is checked."""

    def __init__(self, client: Any, *, patience: timedelta = timedelta(minutes=3)) -> None:
        self._client = client
        self._patience = patience.total_seconds()

    @contextmanager
    def showing(self, answers: Mapping[str, str]) -> Iterator[None]:
        """Domain → text, visible on all of Route 53's servers while the block runs."""
        zones = self._zones(answers)
        self._wait([self._change("UPSERT", zones[domain], domain, text) for domain, text in answers.items()])
        try:
            yield
        finally:
            for domain, text in answers.items():
                self._change("DELETE", zones[domain], domain, text)

    def _zones(self, domains: Mapping[str, str]) -> dict[str, str]:
        """Domain → id of the public zone with the longest name that it is in."""
        zones = {
            zone["Name"].rstrip("."): zone["Id"]
            for page in self._client.get_paginator("list_hosted_zones").paginate()
            for zone in page["HostedZones"]
            if not zone["Config"]["PrivateZone"]
        }
        found = {}
        for domain in domains:
            holding = [name for name in zones if domain == name or domain.endswith(f".{name}")]
            if not holding:
                raise ZoneMissing(f"no public zone of Route 53 in this account holds {domain}; make one, or use mode `secret`")
            found[domain] = zones[max(holding, key=len)]
        return found

    def _change(self, action: str, zone: str, domain: str, text: str) -> str:
        record = {"Name": f"{CHALLENGE_PREFIX}{domain}.", "Type": "TXT", "TTL": TTL_SECONDS, "ResourceRecords": [{"Value": f'"{text}"'}]}
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        return str(self._client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)["ChangeInfo"]["Id"])

    def _wait(self, changes: list[str]) -> None:
        until = time.monotonic() + self._patience
        for change in changes:
            while self._client.get_change(Id=change)["ChangeInfo"]["Status"] != "INSYNC":
                if time.monotonic() > until:
                    raise TimeoutError(f"Route 53's change {change} is not on all its servers after {self._patience:.0f} s")
                time.sleep(POLL_SECONDS)
