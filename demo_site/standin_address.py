"""Where the stand-in model server listens, as it wrote down itself when it started."""

import json
from pathlib import Path

PORT_FILE = Path(__file__).resolve().parent.parent / "var" / "standin.json"


def address() -> str:
    """Its address; read at each question, since it may be started anew on another port."""
    return json.loads(PORT_FILE.read_text(encoding="utf-8"))["url"]


def openai_address() -> str:
    return f"{address()}/v1"
