"""What a changed group asks of its machines, against the local cloud: plain moto knows no instance refreshes."""

from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from local.provider.clients import Clients
from local.provider.engine import Engine
from local.provider.invokes import INVOKES
from local.provider.table import ROWS
from tests.local.provider.conftest import REGION
from tests.local.provider.world import AMI, World, urn_of
from tests.servers import local_cloud

pytestmark = pytest.mark.components


@pytest.fixture
def cloud() -> Iterator[Clients]:
    with local_cloud(REGION, IPv4Network("127.20.0.0/16")) as url:
        yield Clients(url, REGION)


def test_a_change_during_a_refresh_cancels_it_and_starts_another(cloud: Clients) -> None:
    """As the real provider does; Auto Scaling refuses a second refresh of a group."""
    engine = Engine(ROWS, INVOKES, cloud)
    world, urn = World(engine), urn_of("aws:autoscaling/group:Group", "twice")
    hook = {"name": "ready", "lifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
    inputs, _ = engine.check(
        urn,
        {},
        {
            "minSize": 1,
            "maxSize": 1,
            "desiredCapacity": 1,
            "launchTemplate": {"id": world.template, "version": "1"},
            "vpcZoneIdentifiers": [world.subnet],
            "initialLifecycleHooks": [{**hook, "heartbeatTimeout": 60, "defaultResult": "CONTINUE"}],
            "instanceRefresh": {"strategy": "Rolling", "preferences": {"minHealthyPercentage": 100, "maxHealthyPercentage": 200}},
        },
    )
    name, state = engine.create(urn, inputs)
    for version in ("2", "3"):
        cloud.get("ec2").create_launch_template_version(LaunchTemplateId=world.template, LaunchTemplateData={"ImageId": AMI})
        changed = {**inputs, "launchTemplate": {"id": world.template, "version": version}}
        state, inputs = engine.update(urn, name, inputs, changed, state), changed
    refreshes = cloud.get("autoscaling").describe_instance_refreshes(AutoScalingGroupName=name)["InstanceRefreshes"]
    assert [one["Status"] for one in refreshes] == ["InProgress", "Cancelled"]
