"""Resources of another region than the stack's own: the same components, told once where to put what they make.

Since version 7 every resource of pulumi-aws that lies in a region takes its name; a second provider is not needed.
"""

from pulumi import ResourceOptions, ResourceTransformationArgs, ResourceTransformationResult

EVERYWHERE = ("aws:iam/", "aws:route53/")
"""Services without regions."""


def in_region(region: str) -> ResourceOptions:
    """Options of a component under which all that it makes lies in `region`."""

    def place(args: ResourceTransformationArgs) -> ResourceTransformationResult | None:
        if not args.type_.startswith("aws:") or args.type_.startswith(EVERYWHERE):
            return None
        return ResourceTransformationResult(props={**args.props, "region": region}, opts=args.opts)

    return ResourceOptions(transformations=[place])
