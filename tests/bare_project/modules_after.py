"""Run a management command as `manage.py` does, then print the modules it imported as JSON.

`python -X importtime` would not do: it is silent about what comes by `import_module()`.
"""

import json
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
    print(json.dumps(sorted(sys.modules)))
