"""``python -m benchmarks [name …]``: measure, print a Markdown table, say what was not met."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from . import check, editors, first_token, links, publishing, rebuild, retrieval, switch, visitors
from .measuring import Comparison, markdown
from .site import ROOT

NAMES: dict[str, Callable[[], list[Comparison]]] = {
    "check": check.measure,
    "switch": switch.measure,
    "switch-postgresql": lambda: switch.measure(postgresql=True),
    "first_token": first_token.measure,
    "retrieval": retrieval.measure,
    "retrieval-postgresql": lambda: retrieval.measure(postgresql=True),
    "rebuild": rebuild.measure,
    "rebuild-postgresql": lambda: rebuild.measure(postgresql=True),
    "publishing": publishing.measure,
    "editors": editors.measure,
    "editors-postgresql": lambda: editors.measure(postgresql=True),
    "links": links.measure,
    "links-postgresql": lambda: links.measure(postgresql=True),
    "visitors": visitors.measure,
    "visitors-postgresql": lambda: visitors.measure(postgresql=True),
}
NEEDS_LOCUST = "visitors"
LARGE_NAMES: dict[str, Callable[[], list[Comparison]]] = {
    "retrieval": lambda: retrieval.measure(large=True),
    "retrieval-postgresql": lambda: retrieval.measure(postgresql=True, large=True),
}
"""The same up to 100,000 documents."""
ON_POSTGRESQL = "-postgresql"
PAGE = ROOT / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.in_process:
        (name,) = options.names
        measure = (LARGE_NAMES if options.large else {}).get(name, NAMES[name])
        json.dump([asdict(found) for found in measure()], sys.stdout)
        return 0
    found = [
        comparison
        for name in _names(options.names, postgres=options.postgres)
        for comparison in _in_own_process(name, large=options.large)
    ]
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


def _names(given: Sequence[str], *, postgres: bool) -> list[str]:
    """What is measured: all of them where none is given, and with ``postgres`` on both engines."""
    wanted = given or [
        name for name in NAMES if not name.endswith(ON_POSTGRESQL) and name != NEEDS_LOCUST
    ]
    if not postgres:
        return list(wanted)
    there = [name for name in NAMES if name.removesuffix(ON_POSTGRESQL) in wanted]
    return list(dict.fromkeys([*there, *wanted]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", choices=[*NAMES, []], metavar="name", help=", ".join(NAMES)
    )
    parser.add_argument(
        "--postgres", action="store_true", help="measure on a private PostgreSQL as well"
    )
    parser.add_argument("--large", action="store_true", help="up to 100,000 documents")
    parser.add_argument(
        "--write", action="store_true", help="put the figures into docs/benchmarks.md"
    )
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    return parser


def _in_own_process(name: str, *, large: bool) -> list[Comparison]:
    """Each with its own settings and database, and nothing imported by the one before."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--in-process", name, *["--large"] * large],
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
    return markdown(head, [_row(comparison) for comparison in found], left={0, 5, 6, 8})


def _row(found: Comparison) -> tuple[str, ...]:
    unit = f" {found.unit}" if found.unit else ""
    return (
        found.name,
        f"{found.without:,.2f}{unit}",
        f"{found.plugin:,.2f}{unit}",
        f"{found.ratio:,.2f}",
        f"{found.difference:+,.2f}{unit}",
        found.wanted,
        "–" if found.target == "none" else "yes" if found.is_met else "**no**",
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
