"""What the machine host reads of an EC2 instance; `local.cloud` is the one that provides it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol


class Instance(Protocol):
    """One EC2 instance: identity, state, place and user data."""

    @property
    def id(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def private_address(self) -> IPv4Address:
        """The primary one, which cloud-init knows."""

    @property
    def address(self) -> IPv4Address:
        """Where the machine is reached: its fixed address where it has one."""

    @property
    def region(self) -> str: ...

    @property
    def zone(self) -> str: ...

    @property
    def role(self) -> str: ...

    @property
    def service(self) -> str: ...

    @property
    def user_data(self) -> bytes: ...

    @property
    def elastic_addresses(self) -> Sequence[IPv4Address]: ...


class InstanceSource(Protocol):
    """Where instances come from: the cloud."""

    def instances(self) -> Sequence[Instance]:
        """All instances; may be called from any thread."""

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Has `callback` called, from any thread, whenever instances may have changed."""


@dataclass(frozen=True, kw_only=True)
class InstanceFacts:
    """What cloud-init knows of its instance when it renders user data."""

    instance_id: str
    address: str
    zone: str
    region: str

    @property
    def hostname(self) -> str:
        """The private DNS name's first label, as EC2 gives it."""
        return "ip-" + self.address.replace(".", "-")
