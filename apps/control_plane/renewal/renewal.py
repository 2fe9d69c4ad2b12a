"""When the stack's ACME certificate is due, and getting it: one replica at a time, the result in SSM for all of them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from apps.common.aws import AwsError, error_code
from apps.control_plane.renewal.authority import Authority, new_key
from apps.control_plane.renewal.lease import Lease
from apps.control_plane.renewal.route53 import Route53
from apps.control_plane.renewal.wish import Wish
from model import contract

LEFT = 1 / 3
"""Share of its time at which a certificate is renewed."""


class Renewal:
    """Keeps one certificate; `order` makes the authority that is asked."""

    def __init__(self, ssm: Any, dns: Route53, lease: Lease, *, stack: str, order: Callable[..., Authority] = Authority) -> None:
        self._ssm = ssm
        self._dns = dns
        self._lease = lease
        self._order = order
        self._chain, self._key = contract.certificate_parameters(contract.acme_path(stack))
        self._account = contract.acme_account_parameter(stack)

    def renew_if_due(self, wish: Wish) -> bool:
        """True when a new certificate was stored; raises what AWS and the authority raise."""
        if not self._is_due(wish) or not self._lease.take():
            return False
        try:
            # The other replica may have renewed it since.
            if not self._is_due(wish):
                return False
            authority = self._order(directory=wish.directory, email=wish.email, account_key=self._account_key())
            issued = authority.issue(wish.domains, self._dns)
            if not self._lease.held:
                return False
            self._write(self._key, issued.key)
            self._write(self._chain, issued.chain)
            return True
        finally:
            self._lease.give_back()

    def _is_due(self, wish: Wish) -> bool:
        chain = self._read(self._chain)
        if chain is None or self._read(self._key) is None:
            return True
        certificate = x509.load_pem_x509_certificate(chain.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        if set(names) != set(wish.domains):
            return True
        lasting = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        return certificate.not_valid_after_utc - datetime.now(UTC) < lasting * LEFT

    def _account_key(self) -> str:
        """Stored before it is used: an account whose key is lost cannot be found again."""
        found = self._read(self._account)
        if found is None:
            found = new_key()
            self._write(self._account, found)
        return found

    def _read(self, name: str) -> str | None:
        try:
            return str(self._ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
        except AwsError as error:
            if error_code(error) == "ParameterNotFound":
                return None
            raise

    def _write(self, name: str, value: str) -> None:
        self._ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True, Tier="Intelligent-Tiering")
