"""Launch templates: later versions carry user data, and an instance gets all that its version says."""

from collections.abc import Callable
from typing import Any

from local.cloud.patching import wrap


def install() -> None:
    from moto.ec2.models.instances import InstanceBackend
    from moto.ec2.models.launch_templates import LaunchTemplate

    wrap(LaunchTemplate, "create_version", _parse_user_data)
    wrap(InstanceBackend, "run_instances", _launch_as_version_says)


def _parse_user_data(create_version: Callable[..., Any]) -> Callable[..., Any]:
    """CreateLaunchTemplateVersion leaves user data a plain string, and the next launch dies of an AssertionError.

    CreateLaunchTemplate also mixes the template's own tags into the launch data; they are no tags of instances.
    """

    def create(self: Any, data: dict[str, Any], description: str) -> Any:
        from moto.core.types import Base64EncodedString
        from moto.ec2.utils import parse_user_data

        if not isinstance(data.get("UserData"), Base64EncodedString):
            data["UserData"] = parse_user_data(data.get("UserData"))
        data["TagSpecifications"] = [spec for spec in data.get("TagSpecifications", []) if spec["ResourceType"] != "launch-template"]
        return create_version(self, data, description)

    return create


def _launch_as_version_says(run_instances: Callable[..., Any]) -> Callable[..., Any]:
    """moto takes user data, type, key and groups from the version, but not its profile, IMDS options, interfaces and their tags."""

    def run(self: Any, image_id: str, count: int, user_data: Any, security_group_names: list[str], **kwargs: Any) -> Any:
        from moto.ec2.utils import convert_tag_spec

        kwargs.setdefault("region_name", self.region_name)
        if not kwargs.get("launch_template"):
            return run_instances(self, image_id, count, user_data, security_group_names, **kwargs)
        data = self._get_template_from_args(kwargs["launch_template"]).data
        kwargs["metadata_options"] = kwargs.get("metadata_options") or data.get("MetadataOptions") or {}
        kwargs["nics"] = kwargs.get("nics") or data.get("NetworkInterfaces") or []
        kwargs["tags"] = convert_tag_spec(data.get("TagSpecifications", [])) | kwargs.get("tags", {})
        if "block_device_mappings" not in kwargs and data.get("BlockDeviceMappings"):
            kwargs["block_device_mappings"] = data["BlockDeviceMappings"]  # else moto adds a default root volume below the template's
        reservation = run_instances(self, image_id or data.get("ImageId"), count, user_data, security_group_names, **kwargs)
        for instance in reservation.instances:
            for eni in instance.nics.values():
                eni.add_tags(kwargs["tags"].get("network-interface", {}))
        profile = data.get("IamInstanceProfile")
        if profile and not (kwargs.get("iam_instance_profile_name") or kwargs.get("iam_instance_profile_arn")):
            for instance in reservation.instances:
                self.associate_iam_instance_profile(instance.id, profile.get("Name"), profile.get("Arn"))
        return reservation

    return run
