"""The demo site as the pictures show it: in DEBUG, with its stand-ins at an address of their own.

``make demo`` writes its stand-in's address into ``var/``; a demo that runs there is left alone.
"""

import tempfile
from pathlib import Path

from tests.settings import *  # noqa: F403
from tests.settings import FINETUNE_SWITCH, env

STANDIN = env.str("TEST_STANDIN")
CONNECTIONS = FINETUNE_SWITCH["CONNECTIONS"]
FINETUNE_SWITCH = FINETUNE_SWITCH | {
    "CONNECTIONS": {
        "openai": CONNECTIONS["openai"] | {"API_BASE": f"{STANDIN}/v1"},
        "ollama": CONNECTIONS["ollama"] | {"API_BASE": STANDIN},
    }
}
MEDIA_ROOT = Path(tempfile.gettempdir()) / "finetune-switch-pictures"
