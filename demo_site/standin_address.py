"""Where the stand-in model server listens, as it wrote down itself when it started."""

import json
import os
from contextlib import suppress
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "var"


def port_file(port: int) -> Path:
    """Where the stand-in of the demo on this port writes its address: two demos can run at once."""
    return FOLDER / f"standin-{port}.json"


def address() -> str:
    """Its address; read at each question, since it may be started anew on another port.

    Every stand-in gives the same answers, so whichever started last will do.
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
    """One that was killed could not take its file away."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
