"""A whole order with Pebble, the authority that Let's Encrypt tests clients with, built from its Go module.

It asks pebble-challtestsrv for names, to which every change of moto's zone is carried over: moto answers no DNS.
"""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from acme.errors import ValidationError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apps.control_plane.certificates import read_certificate
from apps.control_plane.model import TlsKeyPair
from apps.control_plane.renewal.lease import Lease
from apps.control_plane.renewal.renewal import Renewal
from apps.control_plane.renewal.route53 import Route53
from apps.control_plane.renewal.wish import Wish
from model import contract
from tests.programs import built_from_go

pytestmark = [pytest.mark.slow, pytest.mark.components]
VERSION = "v2.10.1"
PROGRAMS = ("pebble", "pebble-challtestsrv")
HOST = "127.0.0.1"
DOMAINS = ("www.example.com", "shop.example.com")


@pytest.fixture(scope="module")
def programs() -> Path:
    """Directory of Pebble's programs."""
    return built_from_go("pebble", VERSION, *(f"github.com/letsencrypt/pebble/v2/cmd/{name}" for name in PROGRAMS))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def write_identity(directory: Path) -> Path:
    """Pebble's own certificate and key; returns the certificate, which is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pebble")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "pebble.key").write_bytes(secret)
    (directory / "pebble.pem").write_bytes(certificate.public_bytes(pem))
    return directory / "pebble.pem"


@pytest.fixture
def directory_url(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloud: Any) -> Iterator[str]:
    """A running Pebble's directory; it finds the TXT records of `cloud`."""
    acme, management, dns, names = (free_port() for _ in range(4))
    certificate = write_identity(tmp_path)
    config = {
        "listenAddress": f"{HOST}:{acme}",
        "managementListenAddress": f"{HOST}:{management}",
        "certificate": str(certificate),
        "privateKey": str(tmp_path / "pebble.key"),
        "httpPort": free_port(),
        "tlsPort": free_port(),
        "retryAfter": {"authz": 1, "order": 1},
        "profiles": {"default": {"description": "90 days", "validityPeriod": 7776000}},
    }
    (tmp_path / "pebble.json").write_text(json.dumps({"pebble": config}))
    server = [programs / "pebble-challtestsrv", "-dnsserver", f"{HOST}:{dns}", "-management", f"{HOST}:{names}"]
    server += ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]
    pebble = [programs / "pebble", "-config", str(tmp_path / "pebble.json"), "-dnsserver", f"{HOST}:{dns}", "-strict"]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    cloud.route53.meta.events.register("before-parameter-build.route-53.ChangeResourceRecordSets", carry_over(f"http://{HOST}:{names}"))
    environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1"}
    with (tmp_path / "log").open("wb") as log:
        running = [subprocess.Popen(words, stdout=log, stderr=log, env=environment) for words in (server, pebble)]
    try:
        url = f"https://{HOST}:{acme}/dir"
        wait_for(url, str(certificate), tmp_path / "log")
        yield url
    finally:
        for process in running:
            process.kill()
            process.wait()


def carry_over(names: str) -> Callable[..., None]:
    def change(params: dict[str, Any], **_: object) -> None:
        for item in params["ChangeBatch"]["Changes"]:
            record = item["ResourceRecordSet"]
            shown = {"host": record["Name"], "value": record["ResourceRecords"][0]["Value"].strip('"')}
            httpx.post(f"{names}/{'set' if item['Action'] == 'UPSERT' else 'clear'}-txt", json=shown).raise_for_status()

    return change


def wait_for(url: str, authority: str, log: Path) -> None:
    until, trust = time.monotonic() + 10, ssl.create_default_context(cafile=authority)
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            httpx.get(url, verify=trust).raise_for_status()
            return
        time.sleep(0.05)
    raise AssertionError(f"Pebble does not answer\n{log.read_text()}")


def test_an_order_is_proven_by_dns_and_its_certificate_is_what_the_edge_shows(cloud: Any, directory_url: str) -> None:
    zone = cloud.zone("example.com")
    wish = Wish(email="ops@example.com", directory=directory_url, domains=DOMAINS)

    def renewal(holder: str) -> Renewal:
        lease = Lease(cloud.s3, bucket=cloud.bucket, duty="acme", holder=holder, lasting=timedelta(minutes=10))
        return Renewal(cloud.ssm, Route53(cloud.route53), lease, stack="t")

    def stored() -> x509.Certificate:
        chain, key = (
            cloud.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
            for name in contract.certificate_parameters(contract.acme_path("t"))
        )
        assert chain.count("BEGIN CERTIFICATE") > 1, "the intermediate is missing"
        assert len(chain) < 4096
        return read_certificate(TlsKeyPair(chain=chain, key=key), list(wish.domains))

    assert renewal("one").renew_if_due(wish)
    first = stored()
    assert not cloud.texts(zone), "the challenges' records were left"
    assert not renewal("two").renew_if_due(wish)
    # Other domains; the account is found again by its key.
    wish = Wish(email="ops@example.com", directory=directory_url, domains=(*DOMAINS, "pay.example.com"))
    assert renewal("two").renew_if_due(wish)
    assert stored().serial_number != first.serial_number


class Silent(Route53):
    """Shows nothing to anybody."""

    @contextmanager
    def showing(self, answers: Mapping[str, str]) -> Iterator[None]:
        assert answers.keys() == set(DOMAINS)
        yield


def test_an_authority_that_sees_no_record_issues_nothing_and_another_replica_may_try(cloud: Any, directory_url: str) -> None:
    wish = Wish(email="ops@example.com", directory=directory_url, domains=DOMAINS)
    lease = Lease(cloud.s3, bucket=cloud.bucket, duty="acme", holder="one", lasting=timedelta(minutes=10))
    with pytest.raises(ValidationError):
        Renewal(cloud.ssm, Silent(cloud.route53), lease, stack="t").renew_if_due(wish)
    assert [item["Name"] for item in cloud.ssm.describe_parameters()["Parameters"]] == [contract.acme_account_parameter("t")]
    assert Lease(cloud.s3, bucket=cloud.bucket, duty="acme", holder="two", lasting=timedelta(minutes=10)).take()
