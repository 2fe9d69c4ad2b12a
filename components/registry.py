"""Container images of our own: built from the repository, pushed to ECR, used by digest."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi
import pulumi_aws as aws
import pulumi_docker as docker
from pulumi import Output, ResourceOptions

from components.tags import StackTags
from model.builds import image_name

PLATFORM = "linux/amd64"


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    builds: list[str]
    """Directories with a Dockerfile, relative to the repository's root, which is the build context of all."""
    protect_data: bool
    """Refuse to delete repositories that hold images."""
    tags: StackTags


class Registry(pulumi.ComponentResource):
    """Per directory an ECR repository and the image built and pushed to it.

    Machines get the digest: a changed app is a changed user data, which rolls its group.
    """

    refs: dict[str, Output[str]]
    """Image reference by digest, by directory."""
    repository_arns: dict[str, Output[str]]
    """ARN of the repository, by directory; a machine may pull from the ones it needs."""

    def __init__(self, name: str, args: RegistryArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:registry:Registry", name, {}, opts)
        self._name, self._args = name, args
        self.refs, self.repository_arns = {}, {}
        for build in sorted(set(args.builds)):
            repository = self._repository(build)
            self.repository_arns[build] = repository.arn
            self.refs[build] = self._image(build, repository).repo_digest
        self.register_outputs({"refs": self.refs, "repository_arns": self.repository_arns})

    def _repository(self, build: str) -> aws.ecr.Repository:
        return aws.ecr.Repository(
            f"{self._name}-{image_name(build)}",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            force_delete=not self._args.protect_data,
            tags=self._args.tags.of(image_name(build)),
            opts=ResourceOptions(parent=self),
        )

    def _image(self, build: str, repository: aws.ecr.Repository) -> docker.Image:
        token = aws.ecr.get_authorization_token_output(registry_id=repository.registry_id)
        return docker.Image(
            f"{self._name}-{image_name(build)}",
            image_name=Output.format("{0}:latest", repository.repository_url),
            build=docker.DockerBuildArgs(
                context=".",
                dockerfile=str(PurePosixPath(build) / "Dockerfile"),
                platform=PLATFORM,
                builder_version=docker.BuilderVersion.BUILDER_BUILD_KIT,
            ),
            registry=docker.RegistryArgs(
                server=repository.repository_url, username=token.user_name, password=Output.secret(token.password)
            ),
            opts=ResourceOptions(parent=self),
        )
