"""The address of the stand-in model server, read from the file that it writes when it starts."""

import json
import os
from contextlib import suppress
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "var"


def port_file(port: int) -> Path:
    """The address file of the demo on this port. Several demos can run at the same time."""
    return FOLDER / f"standin-{port}.json"


def address() -> str:
    """The URL of the stand-in that started last.

    Read for each question, since it may have been restarted on another port.
    """
    found = []
    for file in FOLDER.glob("standin*.json"):
        with suppress(OSError, ValueError):
            written = json.loads(file.read_text(encoding="utf-8"))
            if _is_running(written["pid"]):
                found.append((file.stat().st_mtime, written["url"]))
    if not found:
        raise FileNotFoundError("No stand-in model server runs: start the demo.")
    return max(found)[1]


def openai_address() -> str:
    return f"{address()}/v1"


def _is_running(pid: int) -> bool:
    # A process that was killed leaves its file behind.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
