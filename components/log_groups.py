"""Names of the CloudWatch log groups, known before the groups exist: user data and policies say them."""

from model.contract import Role, parameter_name


def log_group_name(stack: str, role: Role, service: str) -> str:
    """The log group of a machine's containers."""
    return parameter_name(stack, "logs", role, service)
