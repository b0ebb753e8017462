"""``python -m demo_site.standin`` runs the stand-in as a separate process."""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from .server import StandIn


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    server = StandIn(
        options.flavour,
        port=options.port,
        tokens_per_second=options.tokens_per_second,
        first_token_seconds=options.first_token_seconds,
        list_test_model=False,
    )
    with server:
        if options.port_file:
            _write_json(
                options.port_file, {"url": server.url, "port": server.port, "pid": os.getpid()}
            )
        print(f"Stand-in model server on {server.url}: no model, made-up answers", flush=True)
        stopped.wait()
    if options.port_file and _read_pid(options.port_file) == os.getpid():
        options.port_file.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m demo_site.standin",
        description="Speaks OpenAI's API and Ollama's on one port, with models that are made up.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes any that is free")
    parser.add_argument("--port-file", type=Path, help="where to write url, port and pid as JSON")
    parser.add_argument("--flavour", choices=("both", "openai", "ollama"), default="both")
    parser.add_argument("--tokens-per-second", type=float, default=20, help="0 means no delay")
    parser.add_argument("--first-token-seconds", type=float, default=0.4)
    return parser


def _write_json(path: Path, value: dict[str, object]) -> None:
    # Replaced atomically, so that nobody reads a partial file.
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f"{path.suffix}.{os.getpid()}")
    draft.write_text(json.dumps(value) + "\n", encoding="utf-8")
    draft.replace(path)


def _read_pid(path: Path) -> int | None:
    # Another stand-in may have overwritten the file.
    try:
        return json.loads(path.read_text(encoding="utf-8"))["pid"]
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    main()
