"""Everyone to everyone: the verdicts of all pairs of a VPC's places, gathered by name, and as a table to read."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from local.reachability.paths import Verdict, reach
from local.reachability.vpc import INTERNET, Vpc


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All verdicts for one port between the places of two names."""

    caller: str
    callee: str
    port: int
    verdicts: tuple[Verdict, ...]

    @property
    def reachable(self) -> bool:
        """Whether any of the callers reaches any of the callees."""
        return any(verdict.reachable for verdict in self.verdicts)

    @property
    def is_uniform(self) -> bool:
        """Whether it is the same from every machine to every machine, whatever their zones."""
        return len({verdict.reachable for verdict in self.verdicts}) == 1

    @property
    def arrow(self) -> tuple[str, str, int]:
        return self.caller, self.callee, self.port


@dataclass(frozen=True, kw_only=True)
class Matrix:
    cells: tuple[Cell, ...]

    def reachable(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.reachable]

    def refused(self) -> list[Cell]:
        return [cell for cell in self.cells if not cell.reachable]

    def allowed_table(self) -> str:
        """Callers down, callees across; in each field the ports that pass, `.` for none, `-` where no pair exists."""
        callers = list(dict.fromkeys(cell.caller for cell in self.cells))
        callees = list(dict.fromkeys(cell.callee for cell in self.cells))
        known = {(cell.caller, cell.callee) for cell in self.cells}
        fields = {pair: "." if pair in known else "-" for pair in ((caller, callee) for caller in callers for callee in callees)}
        for cell in self.reachable():
            pair = cell.caller, cell.callee
            fields[pair] = f"{fields[pair]} {cell.port}".removeprefix(". ")
        rows = [["may call", *callees], *([caller, *(fields[caller, callee] for callee in callees)] for caller in callers)]
        return _aligned(rows)

    def refused_table(self) -> str:
        """Each refused pair with the ports and the first rule on the way that refuses or is missing."""
        rows = [["caller", "callee", "refused by", "ports"]]
        for (caller, callee), cells in groupby(self.refused(), key=lambda cell: (cell.caller, cell.callee)):
            ports: dict[str, list[int]] = {}
            for cell in cells:
                ports.setdefault(cell.verdicts[0].refusals[0], []).append(cell.port)
            rows += [[caller, callee, reason, " ".join(map(str, numbers))] for reason, numbers in ports.items()]
        return _aligned(rows)


def matrix(vpc: Vpc, ports: Iterable[int]) -> Matrix:
    """All pairs of different places, and the internet on both sides, for each port; the internet to itself is left out."""
    internet = vpc.internet()
    insiders = sorted(vpc.places, key=lambda place: (place.subnet is None, place.listens_only, place.name, place.id))
    wanted = sorted(set(ports))
    callers = [*internet, *(place for place in insiders if not place.listens_only)]
    gathered: dict[tuple[str, str, int], list[Verdict]] = {}
    for caller in callers:
        for callee in [*insiders, INTERNET]:
            if caller == callee or not (caller.subnet or callee.subnet):
                continue
            for port in wanted:
                gathered.setdefault((caller.name, callee.name, port), []).append(reach(vpc, caller, callee, port))
    return Matrix(
        cells=tuple(
            Cell(caller=caller, callee=callee, port=port, verdicts=tuple(verdicts)) for (caller, callee, port), verdicts in gathered.items()
        )
    )


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(field.ljust(width) for field, width in zip(row, widths, strict=True)).rstrip() for row in rows)
