"""The mesh document: the stack's bucket and, in it, what the control planes serve."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Output, ResourceOptions

from components import policies
from components.tags import StackTags
from model.contract import DOCUMENT_KEY, DOCUMENT_SCHEMA
from model.spec import MeshSpec


def render(mesh: MeshSpec, *, stack: str, region: str, descriptors: Mapping[str, bytes]) -> str:
    """The document's text: the same for the same mesh and compiled protos of bridges, so that its hash is its version."""
    compiled = {name: base64.b64encode(data).decode() for name, data in descriptors.items()}
    document = {"schema": DOCUMENT_SCHEMA, "stack": stack, "region": region, "mesh": mesh.document(), "descriptors": compiled}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True, kw_only=True)
class MeshDocumentArgs:
    content: str
    """What `render` made."""
    protect_data: bool
    """Refuse to delete the bucket with its history."""
    after: Sequence[pulumi.Resource]
    """What must be in place before the document says so: control planes look for certificates anew when it changes."""
    tags: StackTags


class MeshDocument(pulumi.ComponentResource):
    """A bucket (versioned, encrypted, closed to the public, TLS only) that holds the mesh document.

    Pulumi writes below `documents/`; control planes keep what they share below `control/`.
    """

    bucket: Output[str]
    """Name of the bucket."""
    bucket_arn: Output[str]
    """ARN of the bucket."""
    ready: list[pulumi.Resource]
    """What a control plane needs when it boots."""

    def __init__(self, name: str, args: MeshDocumentArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:mesh_document:MeshDocument", name, {}, opts)
        child = ResourceOptions(parent=self)
        bucket = aws.s3.Bucket(
            f"{name}-bucket",
            force_destroy=not args.protect_data,
            tags=args.tags.of(name),
            opts=ResourceOptions(parent=self, protect=args.protect_data),
        )
        versioning = aws.s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=child,
        )
        by_default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(sse_algorithm="AES256")
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.id,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=by_default,
                )
            ],
            opts=child,
        )
        closed = aws.s3.BucketPublicAccessBlock(
            f"{name}-closed",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketPolicy(
            f"{name}-tls-only",
            bucket=bucket.id,
            policy=bucket.arn.apply(lambda arn: json.dumps(policies.tls_only(arn))),
            # S3 refuses two changes of a bucket's access at once.
            opts=ResourceOptions(parent=self, depends_on=[closed]),
        )
        document = aws.s3.BucketObjectv2(
            f"{name}-mesh",
            bucket=bucket.id,
            key=DOCUMENT_KEY,
            content=args.content,
            content_type="application/json",
            opts=ResourceOptions(parent=self, depends_on=[versioning, *args.after]),
        )
        self.bucket, self.bucket_arn, self.ready = bucket.id, bucket.arn, [document]
        self.register_outputs({"bucket": self.bucket, "bucket_arn": self.bucket_arn})
