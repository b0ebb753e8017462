"""How much the largest tests try: all of it in ``make test-all`` alone."""

import os

THOROUGH = os.environ.get("TEST_THOROUGHLY") == "1"
