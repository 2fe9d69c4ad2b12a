"""Elastic addresses: taken from the cloud's own range, and associated with a network interface as in a VPC of AWS.

On loopback an elastic address must be one that this machine can listen on, so it is in the stack's 127.x range.
"""

from collections.abc import Callable
from ipaddress import IPv4Network, ip_address
from typing import Any

from local.cloud import account
from local.cloud.errors import ec2_error
from local.cloud.patching import add, replace, wrap

_SHARE = 256
"""Addresses nobody asked for by name come from the last 1/256 of the range (at least 16), where the program puts no subnet."""


def install(cidr: IPv4Network) -> None:
    from moto.ec2.models.elastic_ip_addresses import ElasticAddress, ElasticAddressBackend

    wrap(ElasticAddressBackend, "allocate_address", lambda allocate: _allocate_in_range(allocate, cidr))
    replace(ElasticAddressBackend, "associate_address", _associate)
    # add, not replace: moto's class has none, its objects set theirs in __init__
    add(ElasticAddress, "instance", property(_instance_of_interface, lambda _self, _value: None))


def _allocate_in_range(allocate: Callable[..., Any], cidr: IPv4Network) -> Callable[..., Any]:
    def allocate_address(self: Any, domain: str, address: str | None = None, tags: dict[str, str] | None = None) -> Any:
        # An address is one machine's on this host, whatever the region.
        taken = {known.public_ip for ec2 in account.backends("ec2").values() for known in ec2.addresses}
        if address is None:
            spare = max(16, cidr.num_addresses // _SHARE)
            free = (str(cidr[number]) for number in range(-spare + 1, -1))
            address = next((candidate for candidate in free if candidate not in taken), None)
            if address is None:
                raise ec2_error("AddressLimitExceeded", f"all {spare - 2} elastic addresses of {cidr} are allocated; release one")
        elif ip_address(address) not in cidr:
            raise ec2_error("InvalidParameterValue", f"address {address} is not in {cidr}, the local cloud's range; ask for one in it")
        elif address in taken:
            raise ec2_error("InvalidAddress.InUse", f"address {address} is allocated already; release it or ask for another")
        return allocate(self, domain or "vpc", address=address, tags=tags)

    return allocate_address


def _associate(
    self: Any,
    instance: Any = None,
    eni: Any = None,
    address: str | None = None,
    allocation_id: str | None = None,
    reassociate: object = False,
) -> Any:
    """moto leaves the address on the interface that had it, and refuses nothing when the target has another one."""
    from moto.ec2.exceptions import ResourceAlreadyAssociatedError
    from moto.ec2.utils import random_eip_association_id

    eip = (self.address_by_ip([address]) if address else self.address_by_allocation([allocation_id]))[0]
    target = eni or instance.nics.get(0)
    if target is None:
        raise ec2_error("InvalidInstanceID", f"The instance {instance.id} is not in a valid state for this operation: {instance.state}.")
    if eip.eni is target:
        return eip
    allowed = str(reassociate).lower() == "true"
    held = [other for other in self.addresses if other.eni is target]
    if (eip.eni is not None or held) and not allowed:
        raise ResourceAlreadyAssociatedError(eip.public_ip if eip.eni is not None else target.id)
    for other in (eip, *held):
        if other.eni is not None:
            self.disassociate_address(address=other.public_ip)
    eip.eni = target
    target.public_ip = eip.public_ip
    eip.association_id = random_eip_association_id()
    return eip


def _instance_of_interface(eip: Any) -> Any:
    """The association belongs to the interface; the instance is whoever has it now."""
    return eip.eni.instance if eip.eni is not None else None
