"""Every resource type that the provider serves, by its token."""

from local.provider import (
    autoscaling,
    dns,
    docker_images,
    ec2_firewall,
    ec2_network,
    ec2_routes,
    ec2_templates,
    ec2_volumes,
    iam,
    parameters,
    random_values,
    registry,
    s3,
    tls_certificates,
    tls_keys,
)
from local.provider.row import Row

_TABLES = (
    ec2_network.ROWS,
    ec2_routes.ROWS,
    ec2_firewall.ROWS,
    ec2_templates.ROWS,
    ec2_volumes.ROWS,
    autoscaling.ROWS,
    iam.ROWS,
    parameters.ROWS,
    s3.ROWS,
    tls_keys.ROWS,
    dns.ROWS,
    registry.ROWS,
    tls_certificates.ROWS,
    random_values.ROWS,
    docker_images.ROWS,
)

ROWS: dict[str, Row] = {row.token: row for table in _TABLES for row in table}
