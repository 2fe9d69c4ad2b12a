"""What an account holds before anything is created: nothing but the images that launches name."""

from collections.abc import Callable
from typing import Any

from local.cloud.patching import replace, wrap

ACCOUNT_ID = "123456789012"
"""The account that moto gives every caller whose key it does not know."""


def backend(service: str, region: str) -> Any:
    """moto's objects of a service (`ec2`, `autoscaling`) in a region."""
    from moto.backends import get_backend

    return get_backend(service)[ACCOUNT_ID][region]


def backends(service: str) -> dict[str, Any]:
    """moto's objects of a service in every region that anybody has asked for, by region."""
    from moto.backends import get_backend

    return dict(get_backend(service)[ACCOUNT_ID].items())


def install() -> None:
    from moto.ec2.models import EC2Backend
    from moto.ec2.models.amis import AmiBackend
    from moto.ec2.models.subnets import SubnetBackend
    from moto.ec2.models.vpcs import VPCBackend

    replace(VPCBackend, "create_default_vpc", lambda self: self.create_vpc("172.31.0.0/16", is_default=True))
    wrap(EC2Backend, "__init__", _without_default_vpc)
    wrap(AmiBackend, "describe_images", _accept_pinned_image)
    wrap(SubnetBackend, "create_subnet", _no_default_subnet)


def _without_default_vpc(init: Callable[..., None]) -> Callable[..., None]:
    """moto starts every region with a VPC of its own; who reads the account's state (reachability, sweeps) would meet it."""

    def __init__(self: Any, region_name: str, account_id: str) -> None:
        init(self, region_name, account_id)
        vpc = self.default_vpc
        for resources in (self.network_acls, self.route_tables):
            for key in [key for key, resource in resources.items() if resource.vpc_id == vpc.id]:
                del resources[key]
        self.groups.pop(vpc.id, None)
        del self.vpcs[vpc.id]

    return __init__


def _no_default_subnet(create: Callable[..., Any]) -> Callable[..., Any]:
    """moto makes the first subnet of a zone its default one, whose machines all get public addresses."""

    def create_subnet(self: Any, *args: Any, **kwargs: Any) -> Any:
        subnet = create(self, *args, **kwargs)
        subnet.default_for_az = subnet.map_public_ip_on_launch = False
        return subnet

    return create_subnet


def _accept_pinned_image(describe: Callable[..., Any]) -> Callable[..., Any]:
    """The stack pins an image of real AWS; moto's list of 650 stays unloaded, and an id is known once someone asks for it."""

    def describe_images(self: Any, ami_ids: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        from moto.ec2.models.amis import Ami

        for ami_id in ami_ids or []:
            if ami_id.startswith("ami-") and ami_id not in self.amis and ami_id not in self.deleted_amis:
                zone = f"{self.region_name}a"
                image = Ami(self, ami_id, name=ami_id, virtualization_type="hvm", architecture="x86_64", region_name=zone, public=True)
                image.root_device_name, image.root_device_type = "/dev/sda1", "ebs"
                self.amis[ami_id] = image
        return describe(self, ami_ids, *args, **kwargs)

    return describe_images
