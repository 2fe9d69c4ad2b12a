"""Imports moto without the parts that only cost time: region lists of every AWS service and data of other regions.

Plain imports take 1.6 s on a 2-core machine, most of it in three places: botocore's endpoint list is parsed to learn
region names, instance type offerings are read for thirty regions, and default images with their snapshots are made.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

_REGIONS = (
    *("af-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2"),
    *("ap-southeast-3", "ca-central-1", "eu-central-1", "eu-north-1", "eu-south-1", "eu-west-1", "eu-west-2", "eu-west-3"),
    *("il-central-1", "me-central-1", "me-south-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2"),
)
"""Regions the local cloud knows besides its own; us-east-1 is the one that moto builds its URL tables from."""


def import_moto(region: str) -> None:
    """Imports what a cloud of this region needs; does nothing when moto is there already."""
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    if "moto.ec2.models" in sys.modules:
        return
    with _few_regions(region), _own_offerings(region):
        import moto.autoscaling.responses
        import moto.ec2.responses
        import moto.server  # noqa: F401


@contextmanager
def _few_regions(region: str) -> Iterator[None]:
    import boto3

    names = sorted({region, *_REGIONS})

    class Session:
        """What moto asks a session at import: the names of regions."""

        def get_available_partitions(self) -> list[str]:
            return ["aws"]

        def get_available_regions(self, _service: str, partition_name: str = "aws") -> list[str]:
            return names if partition_name == "aws" else []

    with mock.patch.object(boto3, "Session", Session):
        yield


@contextmanager
def _own_offerings(region: str) -> Iterator[None]:
    import moto.utilities.utils as utils

    load = utils.load_resource

    def load_few(resource: str) -> Any:
        foreign = "instance_type_offerings" in resource and f"/{region}." not in resource
        return [] if foreign or resource.endswith("amis.json") else load(resource)

    with mock.patch.object(utils, "load_resource", load_few):
        yield
