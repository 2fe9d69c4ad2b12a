"""What the state of a machine means for those who call it."""

import pytest

from apps.control_plane.discovery.machines import Machine, Standing, machine_of


def machine(lifecycle: str | None = None, *, running: bool = True, role: str = "service") -> Machine:
    group = None if lifecycle is None else "g"
    return Machine(
        instance="i-1", role=role, service="web", address="127.0.0.9", zone="a", running=running, group=group, lifecycle=lifecycle
    )


@pytest.mark.parametrize(
    ("lifecycle", "ready", "standing"),
    [
        (None, False, Standing.SERVING),
        ("InService", False, Standing.SERVING),
        ("Pending", False, Standing.STARTING),
        ("Pending:Wait", False, Standing.STARTING),
        ("Pending:Wait", True, Standing.SERVING),
        ("Pending:Proceed", False, Standing.SERVING),
        ("Warmed:Running", False, Standing.STARTING),
        ("Terminating", True, Standing.DRAINING),
        ("Terminating:Wait", True, Standing.DRAINING),
        ("Terminating:Proceed", True, Standing.DRAINING),
        ("Standby", True, Standing.DRAINING),
        ("EnteringStandby", True, Standing.DRAINING),
        ("Detaching", True, Standing.DRAINING),
    ],
)
def test_the_lifecycle_of_a_group_decides(lifecycle: str | None, ready: bool, standing: Standing) -> None:
    assert machine(lifecycle).standing(ready=ready) is standing


def test_an_instance_that_has_not_started_is_no_endpoint() -> None:
    assert machine(running=False).sighting(ready=False) is None


def test_each_role_has_its_ready_url() -> None:
    assert machine().ready_url == "http://127.0.0.9:9902/ready"
    assert machine(role="control-plane").ready_url == "http://127.0.0.9:18001/ready"


def test_instances_that_are_no_machines_of_the_mesh_are_passed_over() -> None:
    tags = {"mesh:role": "service", "mesh:service": "web"}
    instance = {
        "InstanceId": "i-1",
        "PrivateIpAddress": "10.0.0.1",
        "Placement": {"AvailabilityZone": "a"},
        "State": {"Name": "running"},
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }
    assert machine_of(instance) is not None
    assert machine_of({**instance, "PrivateIpAddress": ""}) is None
    assert machine_of({**instance, "Tags": [{"Key": "mesh:role", "Value": "bastion"}]}) is None


def test_a_fixed_address_is_a_machines_own_when_its_interface_has_it() -> None:
    """Until then the machine before it may answer there, also when it is asked whether its successor is ready."""
    tags = {"mesh:role": "control-plane", "mesh:service": "control-plane", "mesh:address": "10.0.0.4"}
    primary = {"PrivateIpAddress": "10.0.0.21", "Primary": True}
    instance = {
        "InstanceId": "i-1",
        "PrivateIpAddress": "10.0.0.21",
        "Placement": {"AvailabilityZone": "a"},
        "State": {"Name": "running"},
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        "NetworkInterfaces": [{"PrivateIpAddresses": [primary]}],
    }
    coming = machine_of(instance)
    assert coming is not None
    assert (coming.address, coming.reachable, coming.sighting(ready=True)) == ("10.0.0.4", False, None)
    claimed = {"PrivateIpAddress": "10.0.0.4", "Primary": False}
    there = machine_of({**instance, "NetworkInterfaces": [{"PrivateIpAddresses": [primary, claimed]}]})
    assert there is not None
    assert there.reachable
    assert there.ready_url == "http://10.0.0.4:18001/ready"
    assert there.sighting(ready=True) is not None
