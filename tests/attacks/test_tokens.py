"""Forged, stale, foreign and misplaced tokens on `/orders` (auth: jwt): acceptance 27–33."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc.jwk import ECKey

from tests.attacks.attack import Answer, Attack, Ledger, ids, judge
from tests.attacks.edge import Edge, Headers, listening
from tests.attacks.forgery import (
    ORDER,
    OTHER_EC,
    OTHER_ED,
    OTHER_P384,
    OTHER_RSA,
    Forger,
    coded,
    joined,
    numbers,
    part,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PATH = "/orders/headers"
PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
BAD_UTF8 = b'{"alg":"ES256","kid":"\xff\xfe"}'
_FORGERS: dict[str, Forger] = {}


def forger(edge: Edge) -> Forger:
    return _FORGERS.setdefault(edge.url, Forger(edge))


def send(edge: Edge, headers: Headers) -> Answer:
    return Answer.of(edge.get(PATH, headers))


def token(name: str, make: Callable[[Forger], str], must: tuple[int, ...] = (401,)) -> Attack:
    """The token alone in `authorization: Bearer …`."""
    return Attack(name=name, how=lambda edge: send(edge, {"authorization": f"Bearer {make(forger(edge))}"}), must=must)


def placed(name: str, headers: Callable[[str], Headers], must: tuple[int, ...] = (401,), path: str = PATH) -> Attack:
    """A good token where none is looked for."""

    def how(edge: Edge) -> Answer:
        good = forger(edge).good()
        return Answer.of(edge.get(path.replace("TOKEN", good), headers(good)))

    return Attack(name=name, how=how, must=must)


def algorithm(spelling: Any, *, keep: bool) -> Callable[[Forger], str]:
    def make(f: Forger) -> str:
        _, body, signed = f.good().split(".")
        return f"{part(f.head(alg=spelling))}.{body}.{signed if keep else ''}"

    return make


def signed_by(key: Any, **head: Any) -> Callable[[Forger], str]:
    return lambda f: f.token(f.head(**head), f.claims(sub="root"), key)


def resigned(change: Callable[[int, int], bytes]) -> Callable[[Forger], str]:
    def make(f: Forger) -> str:
        head, body, signed = f.good().split(".")
        return f"{head}.{body}.{coded(change(*numbers(signed)))}"

    return make


def claims(**changed: Any) -> Callable[[Forger], str]:
    """Times are relative to now."""

    def make(f: Forger) -> str:
        now = int(time.time())
        times = {name: now + value for name, value in changed.items() if name in ("exp", "nbf", "iat") and isinstance(value, int)}
        return f.good(**{**changed, **times})

    return make


def text(change: Callable[[str], str]) -> Callable[[Forger], str]:
    return lambda f: change(f.good())


def jwk_of(key: Any) -> dict[str, Any]:
    pem = key.public_key().public_bytes(PEM, SPKI)
    return {**ECKey.import_key(pem).as_dict(private=False), "alg": "ES256"}


NONE = [
    token(f"alg {spelling!r}, {'with the old signature' if keep else 'unsigned'}", algorithm(spelling, keep=keep), (401, 403))
    for spelling in ("none", "None", "NONE", "nOnE", "", " none", "none\x00", None, ["ES256"])
    for keep in (False, True)
]
CONFUSION = [
    token("HS256 with the public key as PEM", lambda f: f.with_mac(f.public.public_bytes(PEM, SPKI))),
    token("HS256 with the public key as PEM without its last newline", lambda f: f.with_mac(f.public.public_bytes(PEM, SPKI).strip())),
    token("HS256 with the public key as DER", lambda f: f.with_mac(f.public.public_bytes(DER, SPKI))),
    token(
        "HS256 with the public point",
        lambda f: f.with_mac(f.public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)),
    ),
    token("HS256 with the published JWK", lambda f: f.with_mac(json.dumps(jwk_of(f.key)).encode())),
    token("HS512 with the public key as PEM", lambda f: f.with_mac(f.public.public_bytes(PEM, SPKI), "HS512")),
    token("HS256 with an empty secret", lambda f: f.with_mac(b"")),
    token("HS256 with an empty secret and a path as kid", lambda f: f.with_mac(b"", kid="../../../../dev/null")),
    token("HS256 with an empty secret and SQL as kid", lambda f: f.with_mac(b"x", kid="' UNION SELECT 'x'; --")),
    token("RS256 by another key under the kid", signed_by(OTHER_RSA, alg="RS256")),
    token("ES256 by another key under the kid", signed_by(OTHER_EC)),
    token("ES256 by another key without a kid", signed_by(OTHER_EC, kid=None)),
    token("ES256 by another key under an unknown kid", signed_by(OTHER_EC, kid="mine")),
    token("ES256 said, RS256 done", signed_by(OTHER_RSA)),
    token("ES384 by another key under the kid", signed_by(OTHER_P384, alg="ES384")),
    token("EdDSA by another key under the kid", signed_by(OTHER_ED, alg="EdDSA")),
    token("the attacker's key in `jwk`", lambda f: f.token(f.head(jwk=jwk_of(OTHER_EC)), f.claims(), OTHER_EC)),
    token(
        "a certificate chain in `x5c`",
        lambda f: f.token(f.head(x5c=[coded(OTHER_EC.public_key().public_bytes(DER, SPKI))]), f.claims(), OTHER_EC),
    ),
    token("a list as kid", signed_by(OTHER_EC, kid=["a"])),
    token("a null byte in the kid", lambda f: f.token(f.head(kid=f"{f.kid}\x00"), f.claims(), OTHER_EC)),
    token("two `alg`s in one header", lambda f: f.token(f'{{"alg":"none","kid":"{f.kid}","alg":"ES256"}}', f.claims(), OTHER_EC)),
]
SIGNATURE = [
    token("signature cut short", text(lambda good: good[:-4])),
    token("signature left out", text(lambda good: good.rpartition(".")[0]), (401, 403)),
    token("signature of another token", lambda f: f"{f.good(sub='root').rpartition('.')[0]}.{f.good().rpartition('.')[2]}"),
    token("signature of zeros (CVE-2022-21449)", resigned(lambda r, s: joined(0, 0))),
    token("signature of the group's order", resigned(lambda r, s: joined(ORDER, ORDER))),
    token("signature in DER", resigned(encode_dss_signature)),
    token("the other signature of the same key (r, n-s)", resigned(lambda r, s: joined(r, ORDER - s))),
    token("claims changed", lambda f: swapped(f, 1, f.claims(sub="root"))),
    token("header changed", lambda f: swapped(f, 0, f.head(typ="JWT"))),
]
TIMES = [
    token("expired", claims(exp=-90)),
    token("without `exp`", claims(exp=None)),
    token("`exp` null", lambda f: f.token(f.head(), f.claims() | {"exp": None})),
    token("`exp` as text", lambda f: f.good(exp=str(int(time.time()) + 300))),
    token("`exp` negative", lambda f: f.good(exp=-1.0)),
    token("`exp` beyond all numbers", lambda f: f.token(f.head(), json.dumps(f.claims()).replace('"exp": ', '"exp": 9e999, "old": '))),
    token("not valid yet", claims(nbf=300)),
    token("issued in the future", claims(iat=86_400)),
]
FOR_WHOM = [
    token("another issuer", claims(iss="https://evil.example/identity")),
    token("the issuer with a slash behind", lambda f: f.good(iss=f"{f.issuer}/")),
    token("the issuer in capitals", lambda f: f.good(iss=f.issuer.upper())),
    token("the issuer in look-alike letters", lambda f: f.good(iss=f.issuer.replace("e", "е"))),
    token("a list of issuers", lambda f: f.good(iss=[f.issuer, "https://evil.example"])),
    token("without an issuer", claims(iss=None)),
    token("another audience", claims(aud="other"), (403,)),
    token("without an audience", claims(aud=None), (403,)),
    token("no audience in the list", claims(aud=[]), (401, 403)),
    token("a part of the audience", claims(aud="mes"), (403,)),
    token("the audience in capitals", claims(aud="MESH"), (403,)),
    token("the audience and a null byte", claims(aud="mesh\x00"), (401, 403)),
    token("the audience in look-alike letters", claims(aud="mеsh"), (403,)),
    token("the audience as a key of an object", claims(aud={"mesh": True}), (401, 403)),
    token("a code of the issuer", lambda f: f.token(f.head(typ="mesh-code+jwt"), {"grant": {"subject": "ann"}, "exp": time.time() + 60})),
]
SCOPES = [
    token(f"scope {scope!r}", claims(scope=scope), (401, 403))
    for scope in (
        None,
        "",
        "orders.readall",
        "xorders.read orders",
        "ORDERS.READ",
        "*",
        "orders.*",
        "orders.write",
        "orders.read\x00",
        "orders,orders.read",
        [["orders.read"]],
        {"orders.read": True},
        True,
    )
] + [
    token("scope under another name", claims(scope=None, scopes="orders.read", Scope="orders.read", permissions=["orders.read"]), (403,)),
    Attack(
        name="scope in a forged payload header",
        how=lambda edge: send(
            edge, {"authorization": f"Bearer {forger(edge).good(scope=None)}", "x-jwt-payload": part(forger(edge).claims())}
        ),
        must=(403,),
    ),
]
FORM = [
    token("a dot behind", text(lambda good: f"{good}."), (403,)),
    token("a dot before", text(lambda good: f".{good}"), (401, 403)),
    token("a part behind", text(lambda good: f"{good}.e30"), (401, 403)),
    token("five parts, as encrypted ones have", text(lambda good: f"{good}.e30.e30"), (401, 403)),
    token("blank behind and a word", text(lambda good: f"{good} x"), (403,)),
    token("a comma and a second token", lambda f: f"{f.good()},{f.good(sub='root')}", (403,)),
    token("in quotes", text(lambda good: f'"{good}"'), (403,)),
    token("percent-encoded dots", text(lambda good: good.replace(".", "%2e"))),
    token("with padding", text(lambda good: f"{good}="), (401, 403)),
    token("standard base64 in place of base64url", text(lambda good: f"{good[:-3]}+/+"), (401, 403)),
    token("a header of 20,000 nested lists", lambda f: f"{part('[' * 20_000)}.{part(f.claims())}.AAAA", (401, 403)),
    token("claims of 20,000 nested lists", lambda f: f"{part(f.head())}.{part('[' * 20_000 + ']' * 20_000)}.AAAA", (401, 403, 431)),
    token("a header that is no JSON", lambda f: f"{part('none')}.{part(f.claims())}.AAAA"),
    token("a header of bad UTF-8", lambda f: f"{part(BAD_UTF8)}.{part(f.claims())}.AAAA"),
    token("two dots", lambda f: "..", (401, 403)),
    token("60 KB of claims", claims(padding="x" * 60_000), (431,)),
    token("an unknown critical header", lambda f: f.token(f.head(crit=["x"], x=1), f.claims())),
    token("an unencoded payload said (b64)", lambda f: f.token(f.head(crit=["b64"], b64=False), f.claims())),
]
PLACES = [
    placed("no token", lambda good: {}),
    placed("no token behind Bearer", lambda good: {"authorization": "Bearer"}),
    placed("Basic", lambda good: {"authorization": f"Basic {good}"}, (401, 403)),
    placed("in lower case", lambda good: {"authorization": f"bearer {good}"}),
    placed("in capitals", lambda good: {"authorization": f"BEARER {good}"}),
    placed("without a blank", lambda good: {"authorization": f"Bearer{good}"}),
    placed("behind two blanks", lambda good: {"authorization": f"Bearer  {good}"}, (401, 403)),
    placed("behind a tab", lambda good: {"authorization": f"Bearer\t{good}"}, (401, 403)),
    placed("Bearer twice", lambda good: {"authorization": f"Bearer Bearer {good}"}, (401, 403)),
    placed("behind Basic", lambda good: {"authorization": f"Basic x, Bearer {good}"}, (403,)),
    placed(
        "two headers, the good one first", lambda good: [("authorization", f"Bearer {good}"), ("authorization", "Bearer x.y.z")], (400, 403)
    ),
    placed(
        "two headers, the good one last", lambda good: [("authorization", "Bearer x.y.z"), ("authorization", f"Bearer {good}")], (400, 403)
    ),
    placed("two headers, both good", lambda good: [("authorization", f"Bearer {good}")] * 2, (400, 403)),
    placed("Proxy-Authorization", lambda good: {"proxy-authorization": f"Bearer {good}"}),
    placed("X-Forwarded-Authorization", lambda good: {"x-forwarded-authorization": f"Bearer {good}"}),
    placed("X-Access-Token", lambda good: {"x-access-token": good}),
    placed("a cookie", lambda good: {"cookie": f"BearerToken={good}; access_token={good}; Authorization=Bearer {good}"}),
    placed("the query", lambda good: {}, path=f"{PATH}?access_token=TOKEN"),
    placed("the path", lambda good: {}, path=f"{PATH};access_token=TOKEN"),
    placed("hidden by `connection`", lambda good: {"connection": "authorization", "authorization": f"Bearer {good}x"}),
]


def swapped(f: Forger, place: int, data: Any) -> str:
    parts = f.good().split(".")
    parts[place] = part(data)
    return ".".join(parts)


def with_null(edge: Edge) -> Answer:
    """No client library sends it."""
    request = f"GET {PATH} HTTP/1.1\r\nhost: {edge.authority}\r\nauthorization: Bearer {forger(edge).good()}\0\r\n\r\n"
    return Answer(status=int((edge.send(request.encode("latin-1")) or b"HTTP/1.1 000")[9:12]))


def id_token(edge: Edge) -> Answer:
    """What a login gives to the edge itself, whose audience is the client, where no scope is wanted."""
    f = forger(edge)
    given = f.token(f.head(typ="JWT"), f.claims(aud=edge.client_id, scope=None))
    return Answer.of(edge.get("/account/headers", {"authorization": f"Bearer {given}"}))


def fetched_keys(name: str) -> Attack:
    """The edge must take no key from where a token says."""

    def how(edge: Edge) -> Answer:
        with listening() as (url, asked):
            forged = forger(edge).token(forger(edge).head(**{name: url}), forger(edge).claims(), OTHER_EC)
            answer = edge.get(PATH, {"authorization": f"Bearer {forged}"})
            time.sleep(0.2)
            return Answer.of(answer, "a request of the edge" if asked() else "")

    return Attack(name=f"keys fetched from `{name}`", how=how, must=(401,))


def seen_as(name: str, sub: Any, right: tuple[str | None, ...], must: tuple[int, ...] = (200,), reaches: int = 1) -> Attack:
    """A token of the issuer whose subject is odd, beside a forged claim header: the app must see one of `right`."""

    def how(edge: Edge) -> Answer:
        answer = edge.get(PATH, {"authorization": f"Bearer {forger(edge).good(sub=sub)}", "x-user": "root", "x-jwt-payload": "e30"})
        if answer.status_code != 200:
            return Answer.of(answer)
        seen = answer.json()["headers"]
        wrong = {
            key: seen.get(key) for key in ("x-user", "x-admin") if seen.get(key) not in (*right, None) or seen.get("x-jwt-payload") == "e30"
        }
        return Answer.of(answer, str(wrong) if wrong else "")

    return Attack(name=name, how=how, must=must, reaches=reaches)


CLAIMS = [
    seen_as("a forged claim header beside a good token", "ann", ("ann",)),
    seen_as("an empty subject beside a forged claim header", "", ("",)),
    seen_as("no subject beside a forged claim header", None, (None,)),
    seen_as("an object as subject beside a forged claim header", {"a": 1}, (), must=(401,), reaches=0),
    seen_as("a line break in the subject", "ann\r\nx-admin: yes", (), must=(503,), reaches=0),
    seen_as("a null byte in the subject", "ann\x00", (), must=(503,), reaches=0),
]
ROWS = [
    *NONE,
    *CONFUSION,
    *SIGNATURE,
    *TIMES,
    *FOR_WHOM,
    *SCOPES,
    *FORM,
    *PLACES,
    Attack(name="an ID token", how=id_token, must=(403,)),
    Attack(name="a null byte in the header", how=with_null, must=(400,)),
    fetched_keys("jku"),
    fetched_keys("x5u"),
    *CLAIMS,
]


@pytest.mark.parametrize(**ids(ROWS))
def test_a_token(attack: Attack, edge: Edge, ledger: Ledger) -> None:
    judge("token", attack, edge, ledger)
