"""What logins need to be secret: made by Pulumi, kept in SSM, read by control planes and the built-in issuer, seen by nobody."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_random as random
import pulumi_tls as tls
from pulumi import Input, ResourceOptions

from components.tags import StackTags
from model.contract import login_parameter
from model.identity import is_builtin
from model.spec import MeshSpec

LENGTH = 32


def names(mesh: MeshSpec, stack: str) -> list[str]:
    """SSM names of what a control plane reads; the config may name the client's secret itself."""
    login = mesh.edge.auth.login if mesh.edge.auth else None
    if login is None:
        return []
    return [login.client_secret or login_parameter(stack, "client-secret"), login_parameter(stack, "cookie-key")]


@dataclass(frozen=True, kw_only=True)
class LoginSecretsArgs:
    mesh: MeshSpec
    tags: StackTags


class LoginSecrets(pulumi.ComponentResource):
    """The key of the edges' cookies; for the built-in issuer also its client's secret, the password of its page and its signing key."""

    ready: list[pulumi.Resource]
    """The parameters; machines that read them depend on these."""

    def __init__(self, name: str, args: LoginSecretsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:login_secrets:LoginSecrets", name, {}, opts)
        self._name, self._args, self.ready = name, args, []
        self._child = ResourceOptions(parent=self)
        auth = args.mesh.edge.auth
        if auth and auth.login:
            self._random("cookie-key")
        if is_builtin(args.mesh):
            self._random("client-secret")
            self._random("password")
            key = tls.PrivateKey(f"{name}-signing-key", algorithm="ECDSA", ecdsa_curve="P256", opts=self._child)
            self._store("signing-key", key.private_key_pem_pkcs8)
        self.register_outputs({})

    def _random(self, item: str) -> None:
        # Letters and digits alone: env files and forms take them as they are.
        self._store(item, random.RandomPassword(f"{self._name}-{item}", length=LENGTH, special=False, opts=self._child).result)

    def _store(self, item: str, value: Input[str]) -> None:
        tags = self._args.tags
        parameter = aws.ssm.Parameter(
            f"{self._name}-{item}",
            name=login_parameter(tags.stack, item),
            type="SecureString",
            value=value,
            tags=tags.of(f"{self._name}-{item}"),
            opts=self._child,
        )
        self.ready.append(parameter)
