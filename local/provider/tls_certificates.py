"""Rows of `tls`: certificate requests, self-signed and locally signed certificates, as HashiCorp's provider makes them."""

import hashlib
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local.provider.row import Call, Failure, Made, Properties, Row
from local.provider.tls_keys import PrivateKey, algorithm_of, load_key

_NAMES = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "postalCode": NameOID.POSTAL_CODE,
    "commonName": NameOID.COMMON_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
}
KEY_USES = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
    "encipher_only": "encipher_only",
    "decipher_only": "decipher_only",
}
EXTENDED_USES = {
    "any_extended": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}


def _subject(inputs: Properties) -> x509.Name:
    subject = inputs.get("subject") or {}
    return x509.Name([x509.NameAttribute(oid, subject[name]) for name, oid in _NAMES.items() if subject.get(name)])


def _alternative_names(inputs: Properties) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in inputs.get("dnsNames", [])),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in inputs.get("ipAddresses", [])),
        *(x509.UniformResourceIdentifier(uri) for uri in inputs.get("uris", [])),
    ]


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _create_request(call: Call) -> Made:
    key = load_key(call.inputs["privateKeyPem"])
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(call.inputs))
    names = _alternative_names(call.inputs)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = builder.sign(key, _digest(key)).public_bytes(serialization.Encoding.PEM).decode()
    return Made(hashlib.sha1(pem.encode(), usedforsecurity=False).hexdigest(), {"certRequestPem": pem, "keyAlgorithm": algorithm_of(key)})


def _create_self_signed(call: Call) -> Made:
    key = load_key(call.inputs["privateKeyPem"])
    name = _subject(call.inputs)
    made = _sign(call.inputs, subject=name, names=_alternative_names(call.inputs), public=key.public_key(), issuer=name, key=key, ca=None)
    return Made(made.id, {**made.outputs, "keyAlgorithm": algorithm_of(key)})


def _create_locally_signed(call: Call) -> Made:
    request = x509.load_pem_x509_csr(call.inputs["certRequestPem"].encode())
    ca = x509.load_pem_x509_certificate(call.inputs["caCertPem"].encode())
    key = load_key(call.inputs["caPrivateKeyPem"])
    if key.public_key() != ca.public_key():
        raise ValueError(f"tls.LocallySignedCert {call.name}: caPrivateKeyPem is not the key of caCertPem; give the CA's own key")
    try:
        names = list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    made = _sign(call.inputs, subject=request.subject, names=names, public=request.public_key(), issuer=ca.subject, key=key, ca=ca)
    return Made(made.id, {**made.outputs, "caKeyAlgorithm": algorithm_of(key)})


def _sign(
    inputs: Properties,
    *,
    subject: x509.Name,
    names: list[x509.GeneralName],
    public: CertificatePublicKeyTypes,
    issuer: x509.Name,
    key: PrivateKey,
    ca: x509.Certificate | None,
) -> Made:
    """Key usage and basic constraints are critical; the id is the serial number, as in the real provider."""
    start = datetime.now(UTC).replace(microsecond=0)
    end = start + timedelta(hours=inputs["validityPeriodHours"])
    is_ca = bool(inputs.get("isCaCertificate"))
    serial = x509.random_serial_number()
    builder = x509.CertificateBuilder(issuer, subject, public, serial, start, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=_path_length(inputs, is_ca=is_ca)), critical=True)
    uses = inputs.get("allowedUses", [])
    if any(use in KEY_USES for use in uses):
        wanted = dict.fromkeys(KEY_USES.values(), False) | {KEY_USES[use]: True for use in uses if use in KEY_USES}
        builder = builder.add_extension(x509.KeyUsage(**wanted), critical=True)
    extended = [EXTENDED_USES[use] for use in uses if use in EXTENDED_USES]
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if is_ca or inputs.get("setSubjectKeyId"):
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    authority = _authority(inputs, public, ca)
    if authority is not None:
        builder = builder.add_extension(authority, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(subject))
    pem = builder.sign(key, _digest(key)).public_bytes(serialization.Encoding.PEM).decode()
    outputs = {"certPem": pem, "validityStartTime": start.isoformat(), "validityEndTime": end.isoformat(), "readyForRenewal": False}
    return Made(str(serial), outputs)


def _path_length(inputs: Properties, *, is_ca: bool) -> int | None:
    length = inputs.get("maxPathLength")
    return int(length) if is_ca and isinstance(length, int | float) and length >= 0 else None


def _authority(inputs: Properties, public: CertificatePublicKeyTypes, ca: x509.Certificate | None) -> x509.AuthorityKeyIdentifier | None:
    """The issuer's key id, where it has one; a self-signed certificate names itself only when asked to."""
    if ca is None:
        if not inputs.get("setAuthorityKeyId"):
            return None
        own: Any = public
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(own)
    try:
        identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _check_certificate(inputs: Properties) -> list[Failure]:
    known = KEY_USES.keys() | EXTENDED_USES.keys()
    return [
        Failure("allowedUses", f"allowedUses has {use!r}; the provider knows {', '.join(sorted(known))}")
        for use in inputs.get("allowedUses", [])
        if use not in known
    ]


def _renewal(state: Properties) -> str | None:
    """A certificate within `earlyRenewalHours` of its end is replaced by the next up."""
    end = state.get("validityEndTime")
    if not isinstance(end, str):
        return None
    early = timedelta(hours=state.get("earlyRenewalHours", 0))
    return "readyForRenewal" if datetime.now(UTC) >= datetime.fromisoformat(end) - early else None


def _keep(_: Call) -> None:
    """`earlyRenewalHours` is a note for the next run; it changes no certificate."""


_CERTIFICATE = {
    "allowedUses",
    "caCertPem",
    "caPrivateKeyPem",
    "certRequestPem",
    "dnsNames",
    "ipAddresses",
    "isCaCertificate",
    "maxPathLength",
    "privateKeyPem",
    "setAuthorityKeyId",
    "setSubjectKeyId",
    "subject",
    "uris",
    "validityPeriodHours",
}

ROWS = (
    Row(token="tls:index/certRequest:CertRequest", create=_create_request),
    *(
        Row(
            token=token,
            create=create,
            update=_keep,
            check=_check_certificate,
            renewal=_renewal,
            replace=frozenset(_CERTIFICATE),
        )
        for token, create in (
            ("tls:index/selfSignedCert:SelfSignedCert", _create_self_signed),
            ("tls:index/locallySignedCert:LocallySignedCert", _create_locally_signed),
        )
    ),
)
