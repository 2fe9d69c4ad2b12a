"""The environment by which AWS clients find a local cloud, and nothing else."""

import os
from collections.abc import MutableMapping

DUMMY_KEY = "local"
"""Both halves of the credentials; AWS accepts no such key."""


def cloud_environment(url: str, region: str) -> dict[str, str]:
    """Endpoint, region and made-up credentials; files and the metadata service, which could name real ones, are out of reach."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": DUMMY_KEY,
        "AWS_SECRET_ACCESS_KEY": DUMMY_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def drop_aws_settings(environ: MutableMapping[str, str]) -> None:
    """Removes every AWS setting that was inherited."""
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
