"""A machine as EC2 and its Auto Scaling group tell of it, and what that means for traffic."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from apps.control_plane.discovery.reports import Sighting
from model import contract
from model.contract import Role

GROUP_TAG = "aws:autoscaling:groupName"
LEAVING = ("Terminating", "Detaching", "EnteringStandby", "Standby")
"""Lifecycle states (also with `:Wait`, `:Proceed`) in which a group takes a machine out of service."""
COMING = ("Pending", "Pending:Wait", "Quarantined", "Warmed")
"""States before service; `Pending:Proceed` is not among them, since its hook was completed."""


class Standing(StrEnum):
    """What callers may do with a machine."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """An instance of the stack; `lifecycle` is its state in `group`, or None outside of one."""

    instance: str
    role: str
    service: str
    address: str
    zone: str
    running: bool = True
    reachable: bool = True
    """Whether the address is its own by now; a fixed one is claimed at boot, and until then may be another machine's."""
    group: str | None = None
    lifecycle: str | None = None

    @property
    def waits_to_serve(self) -> bool:
        """Whether the launching hook holds the machine."""
        return self.lifecycle == "Pending:Wait"

    @property
    def waits_to_end(self) -> bool:
        """Whether the terminating hook holds the machine."""
        return self.lifecycle == "Terminating:Wait"

    def standing(self, *, ready: bool) -> Standing:
        """What callers may do; `ready` says that the machine has answered its ready URL."""
        if not self.reachable:
            return Standing.STARTING
        if self.lifecycle and self.lifecycle.startswith(LEAVING):
            return Standing.DRAINING
        if self.lifecycle and self.lifecycle.startswith(COMING) and self.lifecycle != "Pending:Proceed":
            return Standing.SERVING if ready else Standing.STARTING
        return Standing.SERVING if self.running else Standing.STARTING

    @property
    def ready_url(self) -> str:
        """What answers 200 when the machine's own program is ready."""
        port = contract.CONSOLE_PORT if self.role == Role.CONTROL_PLANE else contract.METRICS_PORT
        return f"http://{self.address}:{port}/ready"

    def sighting(self, *, ready: bool) -> Sighting | None:
        """The machine as callers see it; None while it is starting."""
        standing = self.standing(ready=ready)
        if standing is Standing.STARTING:
            return None
        return Sighting(
            instance=self.instance,
            role=self.role,
            service=self.service,
            address=self.address,
            zone=self.zone,
            draining=standing is Standing.DRAINING,
        )


def machine_of(instance: dict[str, Any]) -> Machine | None:
    """Reads an instance of DescribeInstances; None for one without an address or without a role of the mesh.

    A tag says which fixed address a machine is to have, its network interface whether it has it.
    """
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    role, service = tags.get(contract.TAG_ROLE, ""), tags.get(contract.TAG_SERVICE, "")
    primary = instance.get("PrivateIpAddress", "")
    address = tags.get(contract.TAG_ADDRESS) or primary
    own = {item["PrivateIpAddress"] for interface in instance.get("NetworkInterfaces", []) for item in interface["PrivateIpAddresses"]}
    if role not in set(Role) or not service or not primary:
        return None
    return Machine(
        instance=instance["InstanceId"],
        role=role,
        service=service,
        address=address,
        zone=instance["Placement"]["AvailabilityZone"],
        running=instance["State"]["Name"] == "running",
        reachable=address == primary or address in own,
        group=tags.get(GROUP_TAG),
    )
