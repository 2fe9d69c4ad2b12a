"""Random passwords in Secrets Manager: made by Pulumi, read by machines, seen by nobody."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_random as random
from pulumi import ResourceOptions

from components.tags import StackTags

LENGTH = 32
RECOVERY_DAYS = 7
"""For how long a deleted secret can be brought back; until then its name is taken."""


@dataclass(frozen=True, kw_only=True)
class PasswordsArgs:
    secrets: dict[str, str]
    """For whom the passwords are → name of the secret."""
    protect_data: bool
    """Keep deleted secrets for a while; without it a stack can be made again at once."""
    tags: StackTags


class Passwords(pulumi.ComponentResource):
    """Per name a random password of letters and digits, and the secret that holds it."""

    ready: list[pulumi.Resource]
    """The secrets' values; machines that read them depend on these."""

    def __init__(self, name: str, args: PasswordsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:passwords:Passwords", name, {}, opts)
        child = ResourceOptions(parent=self)
        self.ready = []
        for owner, secret_name in args.secrets.items():
            # Letters and digits alone: env files, URLs and psql take them as they are.
            password = random.RandomPassword(f"{name}-{owner}", length=LENGTH, special=False, opts=child)
            secret = aws.secretsmanager.Secret(
                f"{name}-{owner}",
                name=secret_name,
                recovery_window_in_days=RECOVERY_DAYS if args.protect_data else 0,
                tags=args.tags.of(f"{name}-{owner}"),
                opts=child,
            )
            self.ready.append(
                aws.secretsmanager.SecretVersion(f"{name}-{owner}", secret_id=secret.id, secret_string=password.result, opts=child)
            )
        self.register_outputs({})
