"""The mesh's own certificates: a CA, one certificate per machine role, and what the edge shows to clients.

Keys are EC P-256: an RSA key with its chain does not fit into an SSM parameter's 4 KB.
"""

import hashlib
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls
from pulumi import Input, Output, ResourceOptions

from components.tags import StackTags
from model.contract import Role, ca_parameter, edge_tls_parameter, spiffe_id, tls_parameter

CA_HOURS = 10 * 365 * 24
LEAF_HOURS = 365 * 24
RENEWAL_HOURS = 90 * 24
"""A certificate with less time left is replaced by the next `pulumi up`."""
FINGERPRINT_DIGITS = 16
SIGNING = ["cert_signing", "crl_signing", "digital_signature"]
SERVER = ["digital_signature", "server_auth"]
PEER = [*SERVER, "client_auth"]


@dataclass(frozen=True, order=True)
class Holder:
    """Who a mesh certificate is for: all machines of one role and service."""

    role: Role
    service: str

    @property
    def region(self) -> str | None:
        """Where its machines read their key, if that is another region than the stack's own."""
        return self.service if self.role is Role.OUTER_EDGE else None


@dataclass(frozen=True, kw_only=True)
class CertificatesArgs:
    """Whom to certify."""

    domain: str
    """DNS domain of the mesh; trust domain of the SPIFFE ids."""
    holders: list[Holder]
    edge_addresses: list[Input[str]]
    """IP addresses of the edge, for clients that know no name."""
    tags: StackTags


@dataclass(frozen=True)
class _Authority:
    key: tls.PrivateKey
    certificate: tls.SelfSignedCert


def fingerprint(pem: str) -> str:
    """Enough of a certificate's hash to tell it from its predecessor."""
    return hashlib.sha256(pem.encode()).hexdigest()[:FINGERPRINT_DIGITS]


class Certificates(pulumi.ComponentResource):
    """Two CAs and what they signed, stored in SSM under the names of `model.contract`, in the region of who reads it.

    The mesh CA signs one certificate per holder, with its SPIFFE id as the only URI name. The edge CA signs only the
    certificate that the edge shows, so a client that trusts it trusts no machine's identity.
    """

    ca_certificate: Output[str]
    """PEM of the CA that clients of the edge must trust."""
    fingerprints: dict[Holder, Output[str]]
    """Beginning of the SHA-256 of each holder's certificate; public, as the certificate is."""
    ready: list[pulumi.Resource]
    """The SSM parameters that a machine reads when it boots."""

    def __init__(self, name: str, args: CertificatesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:certificates:Certificates", name, {}, opts)
        self._name, self._args, self.ready, self.fingerprints = name, args, [], {}
        self._stack = args.tags.stack
        self._child = ResourceOptions(parent=self)
        mesh = self._authority("mesh")
        self._store("mesh-ca", ca_parameter(self._stack), mesh.certificate.cert_pem)
        for region in sorted({holder.region for holder in args.holders if holder.region}):
            self._store(f"mesh-ca-{region}", ca_parameter(self._stack), mesh.certificate.cert_pem, region=region)
        for holder in sorted(args.holders):
            self._certify(mesh, holder)
        edge = self._authority("edge")
        self._certify_edge(edge)
        self.ca_certificate = edge.certificate.cert_pem
        self.register_outputs({"ca_certificate": self.ca_certificate})

    def _authority(self, what: str) -> _Authority:
        key = self._key(f"{what}-ca")
        certificate = tls.SelfSignedCert(
            f"{self._name}-{what}-ca",
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,
            subject=tls.SelfSignedCertSubjectArgs(common_name=f"{self._stack} {what} CA", organization="envoy-mesh"),
            allowed_uses=SIGNING,
            validity_period_hours=CA_HOURS,
            set_subject_key_id=True,
            opts=self._child,
        )
        return _Authority(key, certificate)

    def _certify(self, authority: _Authority, holder: Holder) -> None:
        what = f"{holder.role}-{holder.service}"
        request = tls.CertRequest(
            f"{self._name}-{what}",
            private_key_pem=(key := self._key(what)).private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=what, organization="envoy-mesh"),
            uris=[spiffe_id(self._args.domain, holder.role, holder.service)],
            opts=self._child,
        )
        certificate = self._sign(what, authority, request, PEER)
        self.fingerprints[holder] = certificate.cert_pem.apply(fingerprint)
        for item, value in (("key", key.private_key_pem), ("certificate", certificate.cert_pem)):
            self._store(f"{what}-{item}", tls_parameter(self._stack, holder.role, holder.service, item), value, region=holder.region)

    def _certify_edge(self, authority: _Authority) -> None:
        key = self._key("edge-tls")
        request = tls.CertRequest(
            f"{self._name}-edge-tls",
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=self._args.domain, organization="envoy-mesh"),
            dns_names=[self._args.domain, f"*.{self._args.domain}"],
            ip_addresses=self._args.edge_addresses,
            opts=self._child,
        )
        certificate = self._sign("edge-tls", authority, request, SERVER)
        self._store("edge-tls-key", edge_tls_parameter(self._stack, "key"), key.private_key_pem)
        self._store("edge-tls-certificate", edge_tls_parameter(self._stack, "certificate"), certificate.cert_pem)

    def _key(self, what: str) -> tls.PrivateKey:
        return tls.PrivateKey(f"{self._name}-{what}", algorithm="ECDSA", ecdsa_curve="P256", opts=self._child)

    def _sign(self, what: str, authority: _Authority, request: tls.CertRequest, uses: list[str]) -> tls.LocallySignedCert:
        return tls.LocallySignedCert(
            f"{self._name}-{what}",
            ca_cert_pem=authority.certificate.cert_pem,
            ca_private_key_pem=authority.key.private_key_pem,
            cert_request_pem=request.cert_request_pem,
            allowed_uses=uses,
            validity_period_hours=LEAF_HOURS,
            early_renewal_hours=RENEWAL_HOURS,
            set_subject_key_id=True,
            opts=self._child,
        )

    def _store(self, what: str, parameter: str, value: Output[str], *, region: str | None = None) -> None:
        self.ready.append(
            aws.ssm.Parameter(
                f"{self._name}-{what}",
                name=parameter,
                type="SecureString",
                value=value,
                region=region,
                tags=self._args.tags.of(what),
                opts=self._child,
            )
        )
