"""Private addresses: the network interfaces of a subnet are the only record of what is taken.

moto keeps its own record per subnet, never frees it when an instance ends, hands addresses out in order from .4 and
gives network interfaces random ones that collide with both.
"""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_address
from typing import Any

from local.cloud.errors import ec2_error
from local.cloud.patching import replace, wrap

_AWS_RESERVED = 4


def install() -> None:
    from moto.ec2.models import nat_gateways, vpcs
    from moto.ec2.models.elastic_network_interfaces import NetworkInterfaceBackend
    from moto.ec2.models.nat_gateways import NatGatewayBackend

    wrap(NetworkInterfaceBackend, "create_network_interface", _create_with_free_address)
    wrap(NetworkInterfaceBackend, "delete_network_interface", _refuse_delete_in_use)
    wrap(NetworkInterfaceBackend, "assign_private_ip_addresses", _assign_free_ones)
    replace(nat_gateways, "random_private_ip", lambda: None)  # moto's is from 10/8, whatever the subnet; None asks for a free one
    replace(vpcs, "random_private_ip", lambda: None)
    wrap(NatGatewayBackend, "delete_nat_gateway", _free_gateway_address)


def free_address(subnet: Any) -> str:
    """The next free address after the last one given, so that a freed address rests before another machine gets it."""
    taken = _taken(subnet)
    for address in _candidates(subnet):
        if str(address) not in taken:
            subnet.last_given = address
            return str(address)
    message = f"subnet {subnet.id} ({subnet.cidr}) has no free address; delete machines or use a larger subnet"
    raise ec2_error("InsufficientFreeAddressesInSubnet", message)


def _candidates(subnet: Any) -> Iterator[IPv4Address]:
    """What is reserved in a subnet is for those who ask for it by name."""
    reserved = [reservation.cidr for reservation in subnet._cidr_reservations]
    first, end = int(subnet.cidr[_AWS_RESERVED]), int(subnet.cidr.broadcast_address)
    start = int(getattr(subnet, "last_given", IPv4Address(first - 1))) + 1
    for number in (*range(start, end), *range(first, start)):
        address = IPv4Address(number)
        if not any(address in block for block in reserved):
            yield address


def _taken(subnet: Any) -> set[str]:
    interfaces = subnet.ec2_backend.enis.values()
    return {address["PrivateIpAddress"] for eni in interfaces if eni.subnet.id == subnet.id for address in eni.private_ip_addresses}


def _create_with_free_address(create: Callable[..., Any]) -> Callable[..., Any]:
    """Gives an interface a free address of its subnet, or checks the one that was asked for."""

    def create_network_interface(self: Any, subnet: Any, private_ip_address: Any = None, *args: Any, **kwargs: Any) -> Any:
        subnet = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
        listed = args[0] if args else kwargs.get("private_ip_addresses")
        if isinstance(private_ip_address, list):
            private_ip_address = private_ip_address[0] if private_ip_address else None
        asked = [private_ip_address] if private_ip_address else [a if isinstance(a, str) else a["PrivateIpAddress"] for a in listed or []]
        for address in asked:
            _check(subnet, address)
        if not asked:
            private_ip_address = free_address(subnet)
        return create(self, subnet, private_ip_address, *args, **kwargs)

    return create_network_interface


def _assign_free_ones(assign: Callable[..., Any]) -> Callable[..., Any]:
    """moto gives an interface any address, also another interface's; with AllowReassignment AWS would, and nobody here may ask for it."""

    def assign_private_ip_addresses(self: Any, eni_id: str, private_ip_addresses: list[str] | None = None, count: int | None = None) -> Any:
        eni = self.get_network_interface(eni_id)
        if count:
            raise ec2_error("InvalidParameterCombination", "The local cloud assigns addresses by name only; name them.")
        own = {item["PrivateIpAddress"] for item in eni.private_ip_addresses}
        for address in private_ip_addresses or []:
            if address not in own:
                _check(eni.subnet, address)
        return assign(self, eni_id, private_ip_addresses, count)

    return assign_private_ip_addresses


def _check(subnet: Any, address: str) -> None:
    if ip_address(address) not in subnet.cidr:
        raise ec2_error("InvalidParameterValue", f"Address {address} does not fall within the subnet's address range {subnet.cidr}")
    if address in _taken(subnet):
        raise ec2_error("InvalidIPAddress.InUse", f"Address {address} is in use.")


def _refuse_delete_in_use(delete: Callable[..., Any]) -> Callable[..., Any]:
    """moto deletes an interface under a running machine; AWS wants it detached or the machine ended first."""

    def delete_network_interface(self: Any, eni_id: str) -> None:
        eni = self.enis.get(eni_id)
        if eni is not None and eni.instance is not None:
            raise ec2_error("InvalidNetworkInterface.InUse", f"Interface {eni_id} is in use by instance {eni.instance.id}.")
        delete(self, eni_id)

    return delete_network_interface


def _free_gateway_address(delete: Callable[..., Any]) -> Callable[..., Any]:
    """moto marks a NAT gateway deleted but keeps its interface, and with it the private and the elastic address."""

    def delete_nat_gateway(self: Any, nat_gateway_id: str) -> Any:
        gateway = delete(self, nat_gateway_id)
        for address in self.addresses:
            if address.eni is gateway._eni:
                self.disassociate_address(address=address.public_ip)
        self.enis.pop(gateway._eni.id, None)
        return gateway

    return delete_nat_gateway
