"""A Wagtail project that existed before the plugin came: nothing of the demo site is in it."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
