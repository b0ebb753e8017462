"""Run management commands one after the other, as `manage.py` does, in one process.

Prints, as JSON, what each of them wrote and its exit code, and then every module that was imported.
(`python -X importtime` would be silent about what comes by `import_module()`.)
"""

import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any


def run(command: str) -> dict[str, Any]:
    from django.core.management import execute_from_command_line

    code, output = 0, StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        try:
            execute_from_command_line(["manage.py", *command.split()])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
    return {"code": code, "output": output.getvalue(), "litellm": "litellm" in sys.modules}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    said = {command: run(command) for command in sys.argv[1:]}
    json.dump({"said": said, "modules": sorted(sys.modules)}, sys.stdout)
