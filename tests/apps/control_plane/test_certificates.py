"""Which certificates are shown to clients, and that a bad one changes nothing but counters."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from prometheus_client import CollectorRegistry

from apps.control_plane.certificates import CertificateRefused, EdgeCertificates, read_certificate
from apps.control_plane.metrics import Metrics
from apps.control_plane.model import TlsKeyPair
from model.read import read_mesh
from model.spec import MeshSpec

Make = Callable[..., TlsKeyPair]
OWN, SECRET, SHOP = "/envoy-mesh/t/edge-tls", "/team/edge", "/team/shop"


def mesh(tls: dict[str, Any], *domains: str) -> MeshSpec:
    web = {"image": {"build": "apps/http_service"}, "port": 8080, "routes": [{"prefix": "/", "domains": list(domains)}]}
    return read_mesh(
        {
            "domain": "t.internal",
            "network": {"cidr": "10.20.0.0/16"},
            "machines": {"ami": "ami-0123456789abcdef0"},
            "edge": {"tls": tls},
            "services": {"web": web},
        }
    )


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def certificates(registry: CollectorRegistry) -> EdgeCertificates:
    return EdgeCertificates(stack="t", metrics=Metrics(registry=registry))


def refusals(registry: CollectorRegistry, name: str, reason: str) -> tuple[float | None, float | None]:
    """How many, and whether the newest one is among them."""
    labels = {"certificate": name}
    return (
        registry.get_sample_value("mesh_control_plane_certificates_refused_total", {**labels, "reason": reason}),
        registry.get_sample_value("mesh_control_plane_certificate_refused", labels),
    )


def test_a_certificate_is_read_when_its_key_matches_and_it_is_for_all_domains(certified: Make) -> None:
    read_certificate(certified("shop.example.com", "*.t.internal"), ["shop.example.com", "a.t.internal"])
    read_certificate(certified(key=rsa.generate_private_key(65537, 2048)), [])


def test_each_fault_has_its_reason(certified: Make) -> None:
    good = certified("a.example.com")
    faults = {
        "key": certified("a.example.com", sign=False),
        "domains": certified("*.a.example.com", "b.example.com"),
        "expired": certified("a.example.com", expires=-timedelta(minutes=1)),
        "algorithm": certified("a.example.com", key=ec.generate_private_key(ec.SECP256K1())),
    }
    texts = {
        "key": "the leaf comes first",
        "domains": r"is for \*\.a\.example\.com, b\.example\.com, not for a\.example\.com",
        "expired": "has expired at",
        "algorithm": "RSA from 2048 bits",
    }
    for reason, pair in faults.items():
        with pytest.raises(CertificateRefused, match=texts[reason]) as caught:
            read_certificate(pair, ["a.example.com"])
        assert caught.value.reason == reason
    for broken in (TlsKeyPair(chain="", key=good.key), TlsKeyPair(chain=good.chain, key="key"), TlsKeyPair(chain=good.key, key=good.key)):
        with pytest.raises(CertificateRefused, match="is not PEM") as caught:
            read_certificate(broken, [])
        assert caught.value.reason == "unreadable"
        assert "PRIVATE" not in str(caught.value)


def test_a_bad_one_leaves_the_last_good_one_and_is_counted_once(
    certificates: EdgeCertificates, certified: Make, registry: CollectorRegistry
) -> None:
    spec, good = mesh({}), certified("t.internal")
    certificates.hear(OWN, good)
    assert certificates.review(spec)
    until = registry.get_sample_value("mesh_certificate_expiry_seconds", {"certificate": "default"})
    assert until
    certificates.hear(OWN, certified("t.internal", expires=timedelta(days=90), sign=False))
    for _ in range(3):
        assert not certificates.review(spec)
    assert certificates.default == good
    assert refusals(registry, "default", "key") == (1, 1)
    assert registry.get_sample_value("mesh_certificate_expiry_seconds", {"certificate": "default"}) == until
    renewed = certified("t.internal", expires=timedelta(days=90))
    certificates.hear(OWN, renewed)
    assert certificates.review(spec)
    assert certificates.default == renewed
    assert refusals(registry, "default", "key") == (1, 0)
    assert (registry.get_sample_value("mesh_certificate_expiry_seconds", {"certificate": "default"}) or 0) > until


def test_mode_secret_takes_over_only_with_a_certificate_that_is_for_the_routes_domains(
    certificates: EdgeCertificates, certified: Make, registry: CollectorRegistry
) -> None:
    own = certified("t.internal")
    certificates.hear(OWN, own)
    certificates.review(mesh({}))
    secret = mesh({"mode": "secret", "secret": SECRET}, "www.example.com")
    assert not certificates.review(secret)
    certificates.hear(SECRET, certified("other.example.com"))
    assert not certificates.review(secret)
    assert certificates.default == own
    assert refusals(registry, "default", "domains") == (1, 1)
    theirs = certified("www.example.com")
    certificates.hear(SECRET, theirs)
    assert certificates.review(secret)
    assert certificates.default == theirs


def test_a_domain_that_a_certificate_lacks_leaves_it_shown_and_raises_the_alarm(
    certificates: EdgeCertificates, certified: Make, registry: CollectorRegistry
) -> None:
    pair = certified("shop.example.com")
    certificates.hear(SHOP, pair)
    one = mesh({"certificates": [{"domains": ["shop.example.com"], "secret": SHOP}]}, "shop.example.com")
    assert certificates.review(one)
    two = mesh({"certificates": [{"domains": ["shop.example.com", "pay.example.com"], "secret": SHOP}]}, "pay.example.com")
    assert not certificates.review(two)
    assert certificates.named(two) == {SHOP: pair}
    assert refusals(registry, SHOP, "domains") == (1, 1)


def test_a_certificate_that_the_config_drops_is_neither_shown_nor_measured(
    certificates: EdgeCertificates, certified: Make, registry: CollectorRegistry
) -> None:
    certificates.hear(SHOP, certified("shop.example.com"))
    certificates.review(mesh({"certificates": [{"domains": ["shop.example.com"], "secret": SHOP}]}))
    assert registry.get_sample_value("mesh_certificate_expiry_seconds", {"certificate": SHOP})
    without = mesh({})
    certificates.review(without)
    assert not certificates.named(without)
    assert registry.get_sample_value("mesh_certificate_expiry_seconds", {"certificate": SHOP}) is None
