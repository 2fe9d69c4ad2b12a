"""The tags by which the mesh finds its own: `mesh:stack`, `mesh:role`, `mesh:service`."""

from dataclasses import dataclass

from model.contract import TAG_ROLE, TAG_SERVICE, TAG_STACK, Role


@dataclass(frozen=True, kw_only=True)
class StackTags:
    """Tags of one stack's resources; every component is handed one."""

    stack: str

    def of(self, name: str) -> dict[str, str]:
        """Tags of a resource that belongs to the stack as a whole; `name` is what consoles show."""
        return {"Name": f"{self.stack}-{name}", TAG_STACK: self.stack}

    def of_machine(self, name: str, role: Role, service: str) -> dict[str, str]:
        """Tags of a machine and of what belongs to it alone; discovery and IAM conditions read them."""
        return {**self.of(name), TAG_ROLE: role.value, TAG_SERVICE: service}
