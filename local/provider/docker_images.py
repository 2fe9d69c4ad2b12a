"""Rows of images that the program builds: locally nothing is built, the digest is that of what the image would hold.

So a changed file changes the digest, with it the user data, and machines roll as on AWS.
"""

from pathlib import Path
from typing import Any

from local.provider.build_context import context_digest
from local.provider.row import Call, Failure, Made, Properties, Row

HASH = "contextHash"
"""Input that the provider adds: what the files of the image are now."""


def _with_hash(inputs: Properties) -> Properties:
    """docker-build gives the context as `context.location`, docker as `build.context`."""
    build = inputs.get("build", {})
    context = inputs["context"].get("location") if isinstance(inputs.get("context"), dict) else build.get("context")
    if not isinstance(context, str) or not Path(context).is_dir():
        return inputs
    given = (inputs.get("dockerfile") or {}).get("location") if isinstance(inputs.get("dockerfile"), dict) else build.get("dockerfile")
    dockerfile = Path(given) if isinstance(given, str) else Path(context) / "Dockerfile"
    settings = repr(sorted({**build.get("args", {}), **inputs.get("buildArgs", {})}.items())) + str(
        inputs.get("target", build.get("target", ""))
    )
    return {**inputs, HASH: context_digest(Path(context), dockerfile, settings)}


def _check_context(inputs: Properties) -> list[Failure]:
    if HASH in inputs:
        return []
    place = "context" if "context" in inputs else "build"
    return [Failure(place, f"no directory {inputs.get(place)!r} below {Path.cwd()}; an image needs a build context that exists")]


def _digest(inputs: Properties) -> str:
    return f"sha256:{inputs[HASH]}"


def _buildx_outputs(inputs: Properties) -> Properties:
    tags: list[Any] = inputs.get("tags", [])
    digest = _digest(inputs)
    return {"digest": digest, "ref": f"{tags[0]}@{digest}" if tags else digest, HASH: inputs[HASH]}


def _image_outputs(inputs: Properties) -> Properties:
    name = str(inputs["imageName"])
    slash, colon = name.rfind("/"), name.rfind(":")
    bare = name[:colon] if colon > slash else name
    registry = inputs.get("registry", {}).get("server") or (bare.split("/", 1)[0] if "." in bare.split("/", 1)[0] else "docker.io")
    return {"baseImageName": name, "imageName": name, "registryServer": registry, "repoDigest": f"{bare}@{_digest(inputs)}"}


def _create_buildx(call: Call) -> Made:
    return Made(_digest(call.inputs), _buildx_outputs(call.inputs))


def _create_image(call: Call) -> Made:
    return Made(str(call.inputs["imageName"]), _image_outputs(call.inputs))


def _nothing_to_do(_: Call) -> None:
    """The new outputs follow from the new inputs."""


ROWS = (
    Row(
        token="docker-build:index:Image",
        create=_create_buildx,
        update=_nothing_to_do,
        prepare=_with_hash,
        check=_check_context,
        preview=_buildx_outputs,
    ),
    Row(
        token="docker:index/image:Image",
        create=_create_image,
        update=_nothing_to_do,
        prepare=_with_hash,
        check=_check_context,
        preview=_image_outputs,
    ),
)
