"""`python -m benchmarks.graphs`: seconds of a plan by the depth and width of the graph of links.

Each row is a graph of layers in which every table refers to all tables of the layer above. Its seconds
are those of whole `djlink` commands: plans in which the root's `where` restricts all, in which the leaves
need all, in which a request for a row of the root bars all; and the apply that carries out that deletion.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.ground import OUTBOUND, SCHEMA, grounds
from djlink_manifest.sandbox.servers.binaries import Vendor

SHAPES = ((16, 1), (40, 1), (100, 1), (10, 2), (20, 2), (4, 12), (8, 8))
KINDS = ("where", "needed", "request", "deletion")
ROWS = 4


def main() -> None:
    """Measure what the arguments ask for, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graphs", description=__doc__)
    parser.add_argument("--vendor", choices=["mysql", "mariadb"], nargs="*", default=["mysql", "mariadb"])
    parser.add_argument("--shape", nargs="*", help="depth x width, such as: 20x2 100x1")
    options = parser.parse_args()
    shapes = [tuple(map(int, s.split("x"))) for s in options.shape or ()] or SHAPES
    print(f"| vendor | depth | width | key | {' | '.join(f'{k}, s' for k in KINDS)} |")
    print(f"|---|---|---|---|{'---|' * len(KINDS)}", flush=True)
    for vendor in options.vendor:
        for depth, width in shapes:
            for key in ("inherited", "secondary"):
                found = " | ".join(
                    f"{seconds:.1f}" for seconds in _measured(vendor, depth, width, key).values()
                )
                print(f"| {vendor} | {depth} | {width} | {key} | {found} |", flush=True)


def _measured(vendor: Vendor, depth: int, width: int, key: str) -> Mapping[str, float]:
    layers = [[f"t{n}_{place}" for place in range(width)] for n in range(depth)]
    with tempfile.TemporaryDirectory() as folder, grounds(vendor, vendor, Path(folder)) as catalogs:
        catalogs.fill(*_statements(layers, key))
        catalogs.forget()

        def command(first: str, others: str, last: str, *words: str) -> float:
            rules = [first, *[others] * (depth - 2), last]
            tables = ", ".join(
                f"{name}: {rule}" for names, rule in zip(layers, rules, strict=True) for name in names
            )
            return catalogs.djlink(*words, "-f", catalogs.manifest(f"{{{tables}}}")).seconds

        command("{}", "{}", "{}", "validate")  # compiles the package
        found = {"where": command("{where: k < 3}", "{}", "{}", "plan")}
        found["needed"] = command("{pull: needed}", "{pull: needed}", "{where: k < 3}", "plan")
        command("{}", "{}", "{}", "apply", "--auto-approve")
        catalogs.source.execute(
            f"INSERT INTO {OUTBOUND}.{SCHEMA}_{layers[0][0]}_deletion_requested (k) VALUES (1)"
        )
        found["request"] = command("{}", "{}", "{}", "plan")
        auto = "{deletions: auto, max_deletions: 100}"
        found["deletion"] = command(auto, auto, auto, "apply", "--auto-approve")
        for name in [name for names in reversed(layers[1:]) for name in names] + [layers[0][0]]:
            catalogs.source.execute(f"DELETE FROM {SCHEMA}.{name} WHERE k = 1")
        return found


def _statements(layers: list[list[str]], key: str) -> Iterator[str]:
    above = list[str]()
    for names in layers:
        for name in names:
            own = {parent: "k" if key == "inherited" else f"to_{parent}" for parent in above}
            columns = "".join(f", {c} int NOT NULL" for c in own.values() if c != "k")
            keys = "".join(f", FOREIGN KEY ({c}) REFERENCES {p} (k)" for p, c in own.items())
            yield f"CREATE TABLE {name} (k int PRIMARY KEY{columns}{keys})"
            wide = 1 if key == "inherited" else 1 + len(above)
            rows = ", ".join(f"({', '.join([str(k)] * wide)})" for k in range(1, ROWS + 1))
            yield f"INSERT INTO {name} VALUES {rows}"
        above = names


if __name__ == "__main__":
    main()
