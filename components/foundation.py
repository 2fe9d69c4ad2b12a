"""What every machine stands on: an identity of its own, its security groups, and everything that must exist before it boots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pulumi
from pulumi import Input, Output, ResourceOptions

from components import firewall_rules, user_data
from components.certificates import Certificates, Holder
from components.firewall import Firewall
from components.identity import Identity, IdentityArgs
from components.machine_files import Built, reads
from components.machine_settings import MachineSettings
from components.network import Network
from components.policies import Statement
from components.registry import Registry
from components.tags import StackTags
from components.user_data import MachineFiles
from model.builds import AGENT
from model.contract import Role

Make = Callable[[Built], MachineFiles]


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What the machines of one region share."""

    region: str
    ami: str
    tags: StackTags
    firewall: Firewall
    certificates: Certificates
    registry: Registry
    ways_out: Sequence[pulumi.Resource]
    """Without these a machine that boots reaches neither AWS nor a control plane."""
    placed: ResourceOptions | None = None
    """Options of components in another region than the stack's own (`in_region`)."""

    def settings(
        self,
        role: Role,
        service: str,
        make: Make,
        *,
        instance_type: str,
        builds: Sequence[str] = (),
        parameters: Sequence[str] = (),
        statements: Input[Sequence[Statement]] = (),
        after: Sequence[pulumi.Resource] = (),
    ) -> MachineSettings:
        """Identity and fences of a machine that boots from what `make` makes.

        Its role reads what its agent reads and `parameters`; it pulls the agent's image and those of `builds`.
        """
        wanted = reads(make(Built()))
        identity = Identity(
            f"{role}-{service}" if role in (Role.SERVICE, Role.OUTER_EDGE) else role.value,
            IdentityArgs(
                role=role,
                service=service,
                region=self.region,
                parameters=[*wanted.parameters, *parameters],
                secrets=wanted.secrets,
                repositories=[self.registry.repository_arns[build] for build in (AGENT, *builds)],
                statements=statements,
                tags=self.tags,
            ),
            opts=self.placed,
        )
        return MachineSettings(
            ami=self.ami,
            instance_type=instance_type,
            profile_arn=identity.profile_arn,
            security_groups=self.firewall.ids_of(firewall_rules.groups_of(role, service)),
            ready=[*self.ways_out, *self.firewall.ready, *self.certificates.ready, *identity.ready, *after],
        )

    def user_data(self, make: Make, *, holder: Holder | None = None, **known: Input[str]) -> Output[str]:
        """User data made from `known` (fields of `Built`) once Pulumi knows them; `holder` is whose mesh certificate the machine has."""
        certificate = {"certificate": self.certificates.fingerprints[holder]} if holder else {}
        values = Output.all(agent=self.registry.refs[AGENT], **certificate, **known)
        return values.apply(lambda built: user_data.render(make(Built(**built))))


@dataclass(frozen=True, kw_only=True)
class Foundation(Ground):
    """The same of the stack's own region, with its network."""

    network: Network
