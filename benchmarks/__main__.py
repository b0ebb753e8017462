"""``python -m benchmarks [name …]``: measure, print a Markdown table, say what was not met."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from . import (
    check,
    editors,
    embeddings,
    first_token,
    links,
    publishing,
    rebuild,
    retrieval,
    switch,
    visitors,
)
from .measuring import Comparison, markdown, tell
from .site import ROOT

NAMES: dict[str, Callable[[], list[Comparison]]] = {
    "check": check.measure,
    "switch": switch.measure,
    "switch-postgresql": lambda: switch.measure(postgresql=True),
    "embeddings": embeddings.measure,
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
MODULES = (check, editors, embeddings, first_token, links, publishing, rebuild, retrieval, switch)
LARGE_NAMES: dict[str, Callable[[], list[Comparison]]] = {
    "retrieval": lambda: retrieval.measure(large=True),
    "retrieval-postgresql": lambda: retrieval.measure(postgresql=True, large=True),
}
"""The same up to 100,000 documents."""
ON_POSTGRESQL = "-postgresql"
PAGE = ROOT / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- figures -->\n)(.*?)(<!-- /figures -->)", re.DOTALL)
HEAD = ("", "without", "with", "ratio", "difference", "target", "met", "runs each", "")
LEFT = {0, 5, 6, 8}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.tiny:
        for module in MODULES:
            vars(module).update(module.TINY)
    if options.in_process:
        (name,) = options.names
        measure = (LARGE_NAMES if options.large else {}).get(name, NAMES[name])
        json.dump([asdict(found) for found in measure()], sys.stdout)
        return 0
    found, broken = _measure_all(
        _names(options.names, postgres=options.postgres),
        ["--large"] * options.large + ["--tiny"] * options.tiny,
    )
    print(f"\n{machine()}")
    if options.write:
        PAGE.write_text(with_figures(PAGE.read_text("utf-8"), map(_row, found)), "utf-8")
    missed = [comparison.name for comparison in found if not comparison.is_met]
    if missed:
        print(f"Not met: {', '.join(missed)}.", file=sys.stderr)
    if broken:
        print(f"Broken: {', '.join(broken)}.", file=sys.stderr)
    return 1 if broken or (missed and not options.tiny) else 0


def _measure_all(names: Sequence[str], flags: Sequence[str]) -> tuple[list[Comparison], list[str]]:
    """The figures, each printed as soon as it is known, and the names of what broke."""
    found, broken = [], []
    for name in names:
        try:
            measured = _in_own_process(name, flags)
        except (subprocess.CalledProcessError, ValueError) as error:
            tell(f"{name} broke: {error}")
            broken.append(name)
            continue
        lines = table(measured).splitlines()
        print("\n".join(lines[2:] if found else lines), flush=True)
        found += measured
    return found, broken


def with_figures(page: str, rows: Iterable[tuple[str, ...]]) -> str:
    """The page with these rows in its table; rows of what was not measured stay."""
    before = BLOCK.search(page)
    assert before is not None
    together = dict(_numbered(_cells(line) for line in before[2].splitlines() if _is_row(line)))
    together |= dict(_numbered(rows))
    text = f"{markdown(HEAD, [*together.values()], left=LEFT)}\n\n{machine()}\n"
    return BLOCK.sub(lambda block: f"{block[1]}{text}{block[3]}", page)


def _numbered(rows: Iterable[tuple[str, ...]]) -> Iterable[tuple[tuple[str, int], tuple[str, ...]]]:
    """Each row by its name: two that are compared with something else have the same."""
    seen: Counter[str] = Counter()
    for row in rows:
        seen[row[0]] += 1
        yield (row[0], seen[row[0]]), row


def _is_row(line: str) -> bool:
    return line.startswith("| ") and line[2] not in " -"


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


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
        "--tiny", action="store_true", help="only see whether they run: the figures say nothing"
    )
    parser.add_argument(
        "--write", action="store_true", help="put the figures into docs/benchmarks.md"
    )
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    return parser


def _in_own_process(name: str, flags: Sequence[str]) -> list[Comparison]:
    """Each with its own settings and database, and nothing imported by the one before."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--in-process", name, *flags],
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
    return markdown(HEAD, [_row(comparison) for comparison in found], left=LEFT)


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
