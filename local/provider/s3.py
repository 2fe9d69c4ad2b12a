"""Rows of S3: buckets, what is set on a bucket, and objects."""

import base64
import hashlib
import json
import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.provider.ec2 import boto, mapping, pairs
from local.provider.row import Call, Found, Properties, Row, pascal
from local.provider.wire import ASSET, SIGNATURE

_CONTENT = {"content", "contentBase64", "source", "sourceHash", "etag"}


def _create_bucket(call: Call) -> str:
    s3, name = call.client("s3"), str(call.inputs["bucket"])
    where = {} if call.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": call.region}}
    s3.create_bucket(Bucket=name, **where)
    _tag_bucket(call, name)
    return name


def _tag_bucket(call: Call, name: str) -> None:
    call.client("s3").put_bucket_tagging(Bucket=name, Tagging={"TagSet": pairs(call.tags)})


def _update_bucket(call: Call) -> None:
    if "tags" in call.changed:
        _tag_bucket(call, call.id)


def _read_bucket(call: Call) -> Properties:
    call.client("s3").head_bucket(Bucket=call.id)
    regional = f"{call.id}.s3.{call.region}.amazonaws.com"
    return {
        "arn": f"arn:aws:s3:::{call.id}",
        "bucket": call.id,
        "bucketDomainName": f"{call.id}.s3.amazonaws.com",
        "bucketRegion": call.region,
        "bucketRegionalDomainName": regional,
        "hostedZoneId": "Z3AQBSTGFYJSTF",
    }


def _find_bucket(call: Call) -> list[Found]:
    s3, name = call.client("s3"), call.inputs["bucket"]
    return [Found(name, mapping(s3.get_bucket_tagging(Bucket=name)["TagSet"]))]


def _delete_bucket(call: Call) -> None:
    """Only `forceDestroy` empties a bucket; otherwise one with objects is refused, as on AWS."""
    s3 = call.client("s3")
    if call.inputs.get("forceDestroy"):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=call.id):
            doomed = [
                {"Key": item["Key"], "VersionId": item["VersionId"]}
                for kind in ("Versions", "DeleteMarkers")
                for item in page.get(kind, [])
            ]
            if doomed:
                s3.delete_objects(Bucket=call.id, Delete={"Objects": doomed, "Quiet": True})
    s3.delete_bucket(Bucket=call.id)


def _body(inputs: Properties) -> bytes:
    """An object's content: text, base64, or a Pulumi asset, whose relative path is one of the working directory."""
    if isinstance(inputs.get("content"), str):
        return str(inputs["content"]).encode()
    if isinstance(inputs.get("contentBase64"), str):
        return base64.b64decode(inputs["contentBase64"])
    source = inputs.get("source")
    if isinstance(source, dict) and source.get(SIGNATURE) == ASSET:
        if "text" in source:
            return str(source["text"]).encode()
        if "path" in source:
            return Path(source["path"]).read_bytes()
    raise ValueError(
        f"object {inputs.get('key')!r} has no content that the local provider can read: give content, contentBase64, "
        "or source as a StringAsset or FileAsset"
    )


def _put_object(call: Call) -> str:
    inputs = call.inputs
    key = str(inputs["key"])
    guessed = mimetypes.guess_type(key)[0] or "application/octet-stream"
    arguments = call.given("cacheControl", "contentEncoding", "contentLanguage", "contentDisposition", "serverSideEncryption", "metadata")
    if inputs.get("kmsKeyId"):
        arguments["SSEKMSKeyId"] = inputs["kmsKeyId"]
    call.client("s3").put_object(
        Bucket=inputs["bucket"], Key=key, Body=_body(inputs), ContentType=inputs.get("contentType", guessed), **arguments
    )
    _tag_object(call)
    return f"{inputs['bucket']}/{key}"


def _tag_object(call: Call) -> None:
    """An object takes ten tags; ours are not among them, as writing it again does no harm."""
    given = pairs(call.inputs.get("tags", {}))
    if given or "tags" in call.old:
        call.client("s3").put_object_tagging(Bucket=call.inputs["bucket"], Key=call.inputs["key"], Tagging={"TagSet": given})


def _update_object(call: Call) -> None:
    if call.changed - {"tags"}:
        _put_object(call)
    else:
        _tag_object(call)


def _read_object(call: Call) -> Properties:
    inputs = call.inputs
    head = call.client("s3").head_object(Bucket=inputs["bucket"], Key=inputs["key"])
    return {
        "arn": f"arn:aws:s3:::{inputs['bucket']}/{inputs['key']}",
        "etag": head["ETag"].strip('"'),
        "versionId": head.get("VersionId", "null"),
        "contentType": head["ContentType"],
        "storageClass": head.get("StorageClass", "STANDARD"),
        "serverSideEncryption": head.get("ServerSideEncryption", "AES256"),
    }


def _known_object(inputs: Properties) -> Properties:
    """The etag of plain content is its MD5, so that a preview can name it."""
    content = inputs.get("content")
    return {"etag": hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()} if isinstance(content, str) else {}


def _delete_object(call: Call) -> None:
    """Every version goes, or the bucket could not follow."""
    s3, bucket, key = call.client("s3"), call.inputs["bucket"], call.inputs["key"]
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        for kind in ("Versions", "DeleteMarkers"):
            for item in page.get(kind, []):
                if item["Key"] == key:
                    s3.delete_object(Bucket=bucket, Key=key, VersionId=item["VersionId"])


def _setting(token: str, put: Callable[[Any, Properties], Any], get: Callable[[Any, str], Any], remove: Callable[[Any, str], Any]) -> Row:
    """A sub-resource of a bucket that is written whole, under the bucket's name."""

    def create(call: Call) -> str:
        put(call.client("s3"), call.inputs)
        return str(call.inputs["bucket"])

    def update(call: Call) -> None:
        put(call.client("s3"), call.inputs)

    def read(call: Call) -> Properties | None:
        return None if get(call.client("s3"), call.id) is None else {"bucket": call.id}

    return Row(
        token=f"aws:s3/{token[0].lower()}{token[1:]}:{token}",
        create=create,
        read=read,
        update=update,
        delete=lambda call: remove(call.client("s3"), call.id),
        replace=frozenset({"bucket", "expectedBucketOwner", "region"}),
    )


_BLOCKS = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}


def _encryption_rules(inputs: Properties) -> dict[str, Any]:
    rules = []
    for rule in inputs["rules"]:
        default = rule.get("applyServerSideEncryptionByDefault", {})
        algorithm = {"SSEAlgorithm": default.get("sseAlgorithm", "AES256")}
        if default.get("kmsMasterKeyId"):
            algorithm["KMSMasterKeyID"] = default["kmsMasterKeyId"]
        rules.append({"ApplyServerSideEncryptionByDefault": algorithm, "BucketKeyEnabled": rule.get("bucketKeyEnabled", False)})
    return {"Rules": rules}


def _lifecycle_rules(inputs: Properties) -> dict[str, Any]:
    rules = []
    for rule in inputs["rules"]:
        converted = {
            **{
                pascal(key): boto(value)
                for key, value in rule.items()
                if key not in ("id", "filter", "transitions", "noncurrentVersionTransitions")
            },
            "ID": rule["id"],
            "Filter": boto(rule.get("filter", {})) or {"Prefix": ""},
        }
        for name in ("transitions", "noncurrentVersionTransitions"):
            if rule.get(name):
                converted[name[0].upper() + name[1:]] = boto(rule[name])
        rules.append(converted)
    return {"Rules": rules}


def _versioning(inputs: Properties) -> dict[str, str]:
    return {"Status": inputs["versioningConfiguration"]["status"]}


def _policy(inputs: Properties) -> str:
    return inputs["policy"] if isinstance(inputs["policy"], str) else json.dumps(inputs["policy"])


ROWS = (
    Row(
        token="aws:s3/bucket:Bucket",
        create=_create_bucket,
        read=_read_bucket,
        update=_update_bucket,
        delete=_delete_bucket,
        find=_find_bucket,
        replace=frozenset({"bucket", "bucketPrefix", "objectLockEnabled", "region"}),
        autoname="bucket",
    ),
    Row(
        token="aws:s3/bucketObjectv2:BucketObjectv2",
        create=_put_object,
        read=_read_object,
        update=_update_object,
        delete=_delete_object,
        preview=_known_object,
        replace=frozenset({"bucket", "key", "region"}),
        volatile={"etag": frozenset(_CONTENT), "versionId": frozenset(_CONTENT)},
    ),
    _setting(
        "BucketVersioning",
        lambda s3, inputs: s3.put_bucket_versioning(Bucket=inputs["bucket"], VersioningConfiguration=_versioning(inputs)),
        lambda s3, bucket: s3.get_bucket_versioning(Bucket=bucket).get("Status"),
        lambda s3, bucket: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}),
    ),
    _setting(
        "BucketPublicAccessBlock",
        lambda s3, inputs: s3.put_public_access_block(
            Bucket=inputs["bucket"],
            PublicAccessBlockConfiguration={boto_name: inputs.get(name, False) for name, boto_name in _BLOCKS.items()},
        ),
        lambda s3, bucket: s3.get_public_access_block(Bucket=bucket),
        lambda s3, bucket: s3.delete_public_access_block(Bucket=bucket),
    ),
    _setting(
        "BucketServerSideEncryptionConfiguration",
        lambda s3, inputs: s3.put_bucket_encryption(Bucket=inputs["bucket"], ServerSideEncryptionConfiguration=_encryption_rules(inputs)),
        lambda s3, bucket: s3.get_bucket_encryption(Bucket=bucket),
        lambda s3, bucket: s3.delete_bucket_encryption(Bucket=bucket),
    ),
    _setting(
        "BucketPolicy",
        lambda s3, inputs: s3.put_bucket_policy(Bucket=inputs["bucket"], Policy=_policy(inputs)),
        lambda s3, bucket: s3.get_bucket_policy(Bucket=bucket),
        lambda s3, bucket: s3.delete_bucket_policy(Bucket=bucket),
    ),
    _setting(
        "BucketLifecycleConfiguration",
        lambda s3, inputs: s3.put_bucket_lifecycle_configuration(Bucket=inputs["bucket"], LifecycleConfiguration=_lifecycle_rules(inputs)),
        lambda s3, bucket: s3.get_bucket_lifecycle_configuration(Bucket=bucket),
        lambda s3, bucket: s3.delete_bucket_lifecycle(Bucket=bucket),
    ),
)
