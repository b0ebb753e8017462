"""``python -m benchmarks [name …]``: measure, print a Markdown table, say what was not met."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from . import check, first_token, switch
from .measuring import Comparison
from .site import ROOT

NAMES = {
    "check": check.measure,
    "switch": switch.measure,
    "switch-postgresql": lambda: switch.measure(postgresql=True),
    "first_token": first_token.measure,
}
PAGE = ROOT / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.in_process:
        (name,) = options.names
        json.dump([asdict(found) for found in NAMES[name]()], sys.stdout)
        return 0
    names = options.names or [name for name in NAMES if name != "switch-postgresql"]
    if options.postgres and "switch" in names and "switch-postgresql" not in names:
        names.insert(names.index("switch") + 1, "switch-postgresql")
    found = [comparison for name in names for comparison in _in_own_process(name)]
    text = f"{table(found)}\n\n{machine()}\n"
    print(text)
    if options.write:
        PAGE.write_text(
            BLOCK.sub(lambda block: f"{block[1]}{text}{block[2]}", PAGE.read_text("utf-8")), "utf-8"
        )
    missed = [comparison.name for comparison in found if not comparison.is_met]
    if missed:
        print(f"Not met: {', '.join(missed)}.", file=sys.stderr)
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], metavar="name", help=", ".join(NAMES)
    )
    parser.add_argument("--postgres", action="store_true", help="measure the switch there as well")
    parser.add_argument(
        "--write", action="store_true", help="put the figures into docs/benchmarks.md"
    )
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    return parser


def _in_own_process(name: str) -> list[Comparison]:
    """Each with its own settings and database, and nothing imported by the one before."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--in-process", name],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    # The private PostgreSQL says on standard output that it starts and stops.
    (line,) = [line for line in finished.stdout.splitlines() if line.startswith("[")]
    return [Comparison(**values) for values in json.loads(line.partition("==>")[0])]


def table(found: Sequence[Comparison]) -> str:
    """The comparisons as a Markdown table."""
    head = ("", "without", "with", "ratio", "difference", "target", "met", "runs each", "")
    rows = [head, ("---", *["---:"] * 4, "---", "---", "---:", "---")]
    rows += [_row(comparison) for comparison in found]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(found: Comparison) -> tuple[str, ...]:
    is_ratio = found.target == "ratio"
    return (
        found.name,
        f"{found.without:,.2f} ms",
        f"{found.plugin:,.2f} ms",
        f"{found.ratio:,.2f}",
        f"{found.difference:+,.2f} ms",
        f"ratio ≤ {found.most:g}" if is_ratio else f"difference ≤ {found.most:g} ms",
        "yes" if found.is_met else "**no**",
        str(found.runs),
        found.note,
    )


def machine() -> str:
    versions: dict[str, Any] = {name: version(name) for name in ("Django", "wagtail", "litellm")}
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {platform.python_implementation()} "
        f"{platform.python_version()}, {packages}; client and model server on the same machine."
    )


if __name__ == "__main__":
    sys.exit(main())
