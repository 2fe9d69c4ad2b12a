"""Installs every bridge over moto's gaps; the order does not matter."""

from ipaddress import IPv4Network

from local.cloud import (
    account,
    actions,
    addresses,
    bucket_policies,
    elastic_addresses,
    groups,
    launch_templates,
    machines,
    refresh,
    volumes,
)


def install(cidr: IPv4Network) -> None:
    account.install()
    addresses.install()
    bucket_policies.install()
    elastic_addresses.install(cidr)
    launch_templates.install()
    machines.install()
    volumes.install()
    groups.install()
    actions.install()
    refresh.install()
