"""Orders certificates of an ACME authority (RFC 8555), one account for a stack."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from acme import challenges, crypto_util, messages
from acme.client import ClientNetwork, ClientV2
from acme.errors import ConflictError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from apps.control_plane.renewal.route53 import Route53

AGENT = "envoy-mesh"
PATIENCE = timedelta(minutes=4)
"""For the authority's checks and for its signature."""


class ChallengeMissing(LookupError):
    """The authority does not offer DNS-01 for a domain."""


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate chain and its key, PEM."""

    chain: str
    key: str


def new_key() -> str:
    """An EC P-256 key, PEM: with its chain it fits into an SSM parameter."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class Authority:
    """An ACME account at a directory; the key makes the account, so it is found again by it."""

    def __init__(self, *, directory: str, email: str, account_key: str) -> None:
        self._email = email
        self._key = JWKEC.load(account_key.encode())
        network = ClientNetwork(self._key, alg=ES256, user_agent=AGENT)
        self._client = ClientV2(ClientV2.get_directory(directory, network), network)

    def issue(self, domains: Sequence[str], dns: Route53) -> Issued:
        """A new certificate with a new key; raises acme's errors, requests', and those of `dns`."""
        self._register()
        key = new_key()
        order = self._client.new_order(crypto_util.make_csr(key.encode(), list(domains)))
        pending = [item for item in order.authorizations if item.body.status == messages.STATUS_PENDING]
        asked = {item.body.identifier.value: self._dns_challenge(item) for item in pending}
        answers = {domain: challenge.chall.validation(self._key) for domain, challenge in asked.items()}
        with dns.showing(answers):
            for challenge in asked.values():
                self._client.answer_challenge(challenge, challenge.response(self._key))
            done = self._client.poll_and_finalize(order, datetime.now() + PATIENCE)
        return Issued(chain=done.fullchain_pem, key=key)

    def _register(self) -> None:
        """Agrees to the authority's terms, as whoever writes mode `acme` does."""
        wanted = messages.NewRegistration.from_data(email=self._email, terms_of_service_agreed=True)
        try:
            self._client.new_account(wanted)
        except ConflictError as known:
            self._client.net.account = messages.RegistrationResource(uri=known.location, body=messages.Registration())

    @staticmethod
    def _dns_challenge(authorization: messages.AuthorizationResource) -> messages.ChallengeBody:
        for challenge in authorization.body.challenges:
            if isinstance(challenge.chall, challenges.DNS01):
                return challenge
        raise ChallengeMissing(f"the authority offers no DNS-01 challenge for {authorization.body.identifier.value}")
