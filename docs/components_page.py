"""The page docs/components.md, read from the source of `components`: docstrings, fields, and the resources that each makes.

Nothing is imported or run: a class whose base is `pulumi.ComponentResource` is a component, and a call of a
provider's class within it, or within a function of `components` that it calls, is a resource.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
PROVIDERS = ("aws", "docker", "random", "tls")
HEAD = """# Components

Made from the source of `components/` by `python -m docs.reference`. Do not edit it by hand.

Each component is a Pulumi `ComponentResource`. Other programs can import it: `from components.network import Network, NetworkArgs`.
It takes a name, its args and, where wanted, `ResourceOptions`. A resource's name starts with the component's name, written `{name}` below.
The program that puts them together is `__main__.py`.
"""


@dataclass(frozen=True)
class Module:
    """One file of `components`, parsed."""

    name: str
    tree: ast.Module

    @property
    def classes(self) -> dict[str, ast.ClassDef]:
        """Its classes by name."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}

    @property
    def functions(self) -> dict[str, ast.FunctionDef]:
        """Its functions by name."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.FunctionDef)}


def page() -> str:
    """The whole page."""
    modules = [Module(path.stem, ast.parse(path.read_text())) for path in sorted((REPO / "components").glob("*.py"))]
    shared = {f"{module.name}.{name}": node for module in modules for name, node in module.functions.items()}
    return "\n".join([HEAD, *(line for module in modules for line in _module(module, _names(modules), shared))])


def _names(modules: list[Module]) -> set[str]:
    return {node.name for module in modules for node in module.classes.values() if _is_component(node)}


def _is_component(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("ComponentResource") for base in node.bases)


def _module(module: Module, components: set[str], shared: dict[str, ast.FunctionDef]) -> Iterator[str]:
    own = [node for node in module.classes.values() if _is_component(node)]
    if not own:
        return
    yield from (f"## {module.name}", "", _flat(ast.get_docstring(module.tree) or ""), "")
    for node in own:
        yield from (f"### `{node.name}`", "", f"Type `{_token(node)}`. {_flat(ast.get_docstring(node) or '')}", "")
        args = module.classes.get(f"{node.name}Args")
        if args:
            yield from _fields(f"Args: `{args.name}`", args)
        yield from _fields("Outputs", node)
        made = sorted(set(_resources(node, {**shared, **module.functions}, components)))
        yield from ("Resources:", "", "| type | name |", "|---|---|", *(f"| `{kind}` | `{name}` |" for kind, name in made), "")


def _token(node: ast.ClassDef) -> str:
    """The type token: first argument of `super().__init__`."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__" and isinstance(call.args[0], ast.Constant):
            return str(call.args[0].value)
    raise ValueError(f"component {node.name} passes no literal type token to super().__init__")


def _fields(title: str, node: ast.ClassDef) -> Iterator[str]:
    rows = []
    for position, item in enumerate(node.body):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            after = node.body[position + 1] if position + 1 < len(node.body) else None
            kind = ast.unparse(item.annotation)
            default = f" = `{ast.unparse(item.value)}`" if item.value else ""
            rows.append(f"| `{item.target.id}` | `{_cell(kind)}`{_cell(default)} | {_cell(_docstring(after))} |")
    if rows:
        yield from (f"{title}:", "", "| name | type | meaning |", "|---|---|---|", *rows, "")


def _docstring(node: ast.stmt | None) -> str:
    """The text under a field, which is its documentation."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return _flat(node.value.value)
    return ""


def _resources(
    node: ast.AST, functions: dict[str, ast.FunctionDef], components: set[str], seen: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str]]:
    for call in ast.walk(node):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        target = ast.unparse(call.func)
        last = target.split(".")[-1]
        of_provider = target.split(".")[0] in PROVIDERS and last[:1].isupper() and not last.endswith("Args")
        if of_provider or target in components:
            yield target, _resource_name(call.args[0])
        elif target in functions and target not in seen:
            yield from _resources(functions[target], functions, components, seen | {target})


def _resource_name(node: ast.expr) -> str:
    """A name's f-string as people read it; a variable stands for the component's name."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{" + _variable(part) + "}" for part in parts)


def _variable(node: ast.expr) -> str:
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    text = ast.unparse(inner).removeprefix("self.").removeprefix("_")
    return "name" if text == "owner.name" else text


def _flat(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
