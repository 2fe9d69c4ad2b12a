"""Keeps every verb away from AWS and from Pulumi's service: the caller's settings of both are dropped, dummies take their place."""

import os
from collections.abc import MutableMapping

DUMMY_KEY = "local"
"""Both halves of the credentials that the local cloud gets; AWS accepts no such key."""


def cloud_environment(moto_url: str, region: str) -> dict[str, str]:
    """What any AWS tool needs to talk to the local cloud, and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": DUMMY_KEY,
        "AWS_SECRET_ACCESS_KEY": DUMMY_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def isolate(environ: MutableMapping[str, str]) -> None:
    """Drops every AWS and Pulumi setting (keys, profile, role, endpoints, files; backend, token, passphrase) and puts dummies in.

    The endpoint is a closed port of loopback until a local cloud is there: a call that nobody meant fails at once.
    """
    for name in [name for name in environ if name.startswith(("AWS_", "PULUMI_"))]:
        del environ[name]
    # An Output formatted as text raises instead of yielding a sentence about itself.
    environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"
    environ.update(cloud_environment("http://127.0.0.1:9", "eu-central-1"))
