"""Who renews, when, and in which zone; the authority is played by a self-signed certificate (test_pebble has a real one)."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from apps.control_plane.certificates import read_certificate
from apps.control_plane.discovery.reports import FaultReport, Report
from apps.control_plane.model import TlsKeyPair
from apps.control_plane.renewal.authority import Issued
from apps.control_plane.renewal.keeping import DUE_SECONDS, FIRST_PAUSE, LONGEST_PAUSE, Keeper
from apps.control_plane.renewal.lease import Lease
from apps.control_plane.renewal.renewal import Renewal
from apps.control_plane.renewal.route53 import Route53, ZoneMissing
from apps.control_plane.renewal.wish import Wish, wish_of
from model import contract

pytestmark = pytest.mark.components
WISH = Wish(email="ops@example.com", directory="https://acme.example.com", domains=("a.example.com", "b.example.com"))
LASTING = timedelta(minutes=10)


def lease(cloud: Any, holder: str, lasting: timedelta = LASTING) -> Lease:
    return Lease(cloud.s3, bucket=cloud.bucket, duty="acme", holder=holder, lasting=lasting)


def test_a_lease_has_one_holder_until_it_is_given_back_or_runs_out(cloud: Any) -> None:
    one, two = lease(cloud, "one"), lease(cloud, "two")
    assert one.take()
    assert not two.take()
    assert one.take()
    one.give_back()
    assert two.take()
    assert not one.held
    assert not one.take()
    short = lease(cloud, "two", timedelta(seconds=0.2))
    assert short.take()
    time.sleep(0.3)
    assert not short.held
    assert one.take()
    short.give_back()
    assert not two.take()


def test_of_two_who_take_a_free_lease_at_once_one_gets_it(cloud: Any) -> None:
    one, two = lease(cloud, "one"), lease(cloud, "two")
    get = two._s3.get_object

    class Slow:
        """Lets the other one write between this one's look and its own write."""

        put_object = staticmethod(cloud.s3.put_object)

        def get_object(self, **place: str) -> Any:
            try:
                return get(**place)
            finally:
                assert one.take()

    two._s3 = Slow()
    assert not two.take()
    assert one.held


class Player:
    """Signs itself what it is asked for, in no zone."""

    def __init__(self, make: Callable[..., TlsKeyPair]) -> None:
        self.make = make
        self.accounts: list[str] = []
        self.asked: list[Sequence[str]] = []
        self.expires = timedelta(days=90)

    def __call__(self, *, directory: str, email: str, account_key: str) -> "Player":
        assert (directory, email) == (WISH.directory, WISH.email)
        self.accounts.append(account_key)
        return self

    def issue(self, domains: Sequence[str], _dns: Route53) -> Issued:
        self.asked.append(domains)
        pair = self.make(*domains, expires=self.expires)
        return Issued(chain=pair.chain, key=pair.key)


def renewal(cloud: Any, player: Player, holder: str = "one") -> Renewal:
    order: Any = player
    return Renewal(cloud.ssm, Route53(cloud.route53), lease(cloud, holder), stack="t", order=order)


def stored(cloud: Any) -> TlsKeyPair:
    chain, key = contract.certificate_parameters(contract.acme_path("t"))
    values = {name: cloud.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] for name in (chain, key)}
    return TlsKeyPair(chain=values[chain], key=values[key])


def test_it_is_ordered_when_missing_stored_whole_and_then_left_alone(cloud: Any, certified: Callable[..., TlsKeyPair]) -> None:
    player = Player(certified)
    assert renewal(cloud, player).renew_if_due(WISH)
    read_certificate(stored(cloud), list(WISH.domains))
    assert not renewal(cloud, player, "two").renew_if_due(WISH)
    assert player.asked == [WISH.domains]
    assert lease(cloud, "third").take(), "the lease was not given back"


def test_it_is_ordered_again_for_other_domains_and_in_its_last_third_by_the_same_account(
    cloud: Any, certified: Callable[..., TlsKeyPair]
) -> None:
    player = Player(certified)
    player.expires = timedelta(days=29)
    assert renewal(cloud, player).renew_if_due(WISH)
    player.expires = timedelta(days=31)
    assert renewal(cloud, player).renew_if_due(WISH), "29 of 89 days are less than a third"
    assert not renewal(cloud, player).renew_if_due(WISH), "31 of 91 days are more than a third"
    other = Wish(email=WISH.email, directory=WISH.directory, domains=("a.example.com",))
    assert renewal(cloud, player).renew_if_due(other)
    assert len(set(player.accounts)) == 1


def test_while_one_holds_the_lease_the_other_orders_nothing(cloud: Any, certified: Callable[..., TlsKeyPair]) -> None:
    player = Player(certified)
    assert lease(cloud, "other").take()
    assert not renewal(cloud, player).renew_if_due(WISH)
    assert not player.asked


def test_a_record_stands_in_the_longest_public_zone_while_it_is_needed(cloud: Any) -> None:
    outer, inner = cloud.zone("example.com"), cloud.zone("shop.example.com")
    cloud.zone("a.shop.example.com", VPC={"VPCRegion": "eu-central-1", "VPCId": "vpc-1"}, HostedZoneConfig={"PrivateZone": True})
    with Route53(cloud.route53).showing({"a.shop.example.com": "one", "example.com": "two"}):
        assert cloud.texts(inner) == {"_acme-challenge.a.shop.example.com.": '"one"'}
        assert cloud.texts(outer) == {"_acme-challenge.example.com.": '"two"'}
    assert not cloud.texts(inner)
    assert not cloud.texts(outer)


def test_a_domain_in_no_public_zone_is_named(cloud: Any) -> None:
    cloud.zone("example.com")
    dns = Route53(cloud.route53)
    with pytest.raises(ZoneMissing, match=r"holds www\.example\.org; make one"), dns.showing({"www.example.org": "x"}):
        pytest.fail("nothing can be shown")


def test_only_a_document_of_mode_acme_wishes_for_one() -> None:
    acme = {"email": "ops@example.com", "directory": "https://acme.example.com", "domains": ["a.example.com", "b.example.com"]}
    tls = {"mode": "acme", "acme": acme}
    assert wish_of(json.dumps({"mesh": {"edge": {"tls": tls}}})) == WISH
    for other in ("", "{}", json.dumps({"mesh": {"edge": {"tls": tls | {"mode": "secret"}}}}), json.dumps({"mesh": {"edge": {}}})):
        assert wish_of(other) is None


def test_failures_are_told_and_tried_again_ever_later_another_wish_at_once() -> None:
    tries: list[Wish] = []
    told: list[Report] = []
    broken = True

    class Tried:
        def renew_if_due(self, wish: Wish) -> bool:
            tries.append(wish)
            if broken:
                raise ZoneMissing("no zone")
            return True

    tried: Any = Tried()
    keeper, now = Keeper(tried, told.append), 1000.0
    for number in range(10):
        pause = min(FIRST_PAUSE * 2**number, LONGEST_PAUSE)
        keeper.look(WISH, now=now)
        keeper.look(WISH, now=now + pause - 1)
        assert len(tries) == number + 1
        now += pause
    assert told[0] == FaultReport(api="acme:order", code="ZoneMissing", text="no zone")
    other = Wish(email=WISH.email, directory=WISH.directory, domains=("c.example.com",))
    broken = False
    keeper.look(other, now=now + 1)
    assert tries[-1] == other
    keeper.look(other, now=now + DUE_SECONDS)
    assert tries.count(other) == 1
    keeper.look(other, now=now + 1 + DUE_SECONDS)
    assert tries.count(other) == 2
    keeper.look(None, now=now + 10 * DUE_SECONDS)
    assert tries.count(other) == 2
