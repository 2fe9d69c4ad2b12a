"""Instances: interfaces and addresses at launch, all of it given back at the end, the dead forgotten after a while."""

from collections.abc import Callable
from functools import partial
from typing import Any

from local.cloud import clock
from local.cloud.errors import ec2_error
from local.cloud.patching import original, replace, wrap

FORGET_AFTER = 120.0
"""Seconds for which a terminated instance can still be described (about an hour on AWS)."""
_OF_INTERFACE = ("private_ip", "private_ip_address", "private_dns_name", "public_ip", "public_ip_address", "public_dns_name")


def install() -> None:
    from moto.ec2.models.instances import Instance

    replace(Instance, "prep_nics", _prepare_interfaces)
    wrap(Instance, "terminate", _give_back)
    for name in _OF_INTERFACE:
        setattr(Instance, name, property(partial(_read_of_interface, original(Instance, name).fget)))


def _prepare_interfaces(
    self: Any,
    nic_spec: list[dict[str, Any]],
    private_ip: str | None = None,
    associate_public_ip: bool | None = None,
    security_groups: list[Any] | None = None,
    ipv6_address_count: int | None = None,
) -> None:
    """Attaches the interfaces asked for, or one in the instance's subnet.

    moto draws a random address and the first zone when RunInstances names an existing interface, keeps the interfaces
    of dead instances, and shows no group of an instance whose groups are its interface's.
    """
    self.nics = {}
    for index, spec in enumerate(nic_spec or [{}]):
        position = int(spec.get("DeviceIndex", index))
        if "NetworkInterfaceId" in spec:
            eni = self.ec2_backend.get_network_interface(spec["NetworkInterfaceId"])
            if eni.instance is not None:
                raise ec2_error("InvalidNetworkInterface.InUse", f"Interface {eni.id} is in use by instance {eni.instance.id}.")
            eni.delete_on_termination = str(spec.get("DeleteOnTermination", False)).lower() == "true"
        else:
            eni = _create_interface(self, spec, private_ip if position == 0 else None, associate_public_ip, security_groups or [])
        self.attach_eni(eni, position)
    self._subnet_id = self.nics[0].subnet.id
    self._placement.zone = self.nics[0].subnet.availability_zone
    self.security_groups = self.security_groups or list(self.nics[0]._group_set)
    self.last_address = self.nics[0].private_ip_address


def _create_interface(instance: Any, spec: dict[str, Any], private_ip: str | None, public: object, groups: list[Any]) -> Any:
    subnet_id = spec.get("SubnetId") or instance._subnet_id
    if subnet_id is None:
        raise ec2_error("MissingInput", "No subnet: name a subnet or a network interface, there is no default VPC in the local cloud.")
    listed = [entry["PrivateIpAddress"] for entry in spec.get("PrivateIpAddresses", []) if entry.get("Primary")]
    return instance.ec2_backend.create_network_interface(
        instance.ec2_backend.get_subnet(subnet_id),
        next(iter([address for address in (spec.get("PrivateIpAddress"), *listed, private_ip) if address]), None),
        public_ip_auto_assign=spec.get("AssociatePublicIpAddress", public),
        group_ids=[*spec.get("Groups", []), *(group.id for group in groups)],
        delete_on_termination=str(spec.get("DeleteOnTermination", True)).lower() == "true",
        description=spec.get("Description"),
    )


def _give_back(terminate: Callable[..., Any]) -> Callable[..., Any]:
    """Detaches or deletes the interfaces and lets go of elastic addresses; moto keeps them all, and with them the address."""

    def end(self: Any) -> Any:
        backend = self.ec2_backend
        interfaces = list(self.nics.values())
        for eni in interfaces:
            for address in backend.addresses:
                if address.eni is eni and eni.delete_on_termination:
                    backend.disassociate_address(address=address.public_ip)
        deleted = [eni for eni in interfaces if eni.delete_on_termination]
        for eni in interfaces:
            self.detach_eni(eni)
        previous = terminate(self)
        for eni in deleted:
            backend.enis.pop(eni.id, None)
            backend.tags.pop(eni.id, None)
        clock.after(FORGET_AFTER, partial(_forget, self))
        return previous

    return end


def _forget(instance: Any) -> None:
    backend = instance.ec2_backend
    for reservation in list(backend.reservations.values()):
        if instance in reservation.instances:
            reservation.instances.remove(instance)
            if not reservation.instances:
                del backend.reservations[reservation.id]
    backend.tags.pop(instance.id, None)


def _read_of_interface(read: Callable[[Any], Any], instance: Any) -> Any:
    """A terminated instance has no interface and so no address; moto would fail to describe it."""
    return read(instance) if instance.nics else None
