"""The demo site as the tests run it: as if nobody had written a ``.env``.

Tests that read a developer's key would ask the real model, and with their Redis would empty it. The
processes that tests start inherit this. ``DATABASE_URL`` alone still chooses the database.
"""

import gc
import os

# What is imported stays. To look it through again and again is a tenth of what a start takes.
gc.set_threshold(50_000, 20, 50)

os.environ["ENV_FILE"] = os.devnull
for name in (
    "ALLOWED_HOSTS",
    "BEHIND_TLS_PROXY",
    "CSRF_COOKIE_SECURE",
    "CSRF_TRUSTED_ORIGINS",
    "DEBUG",
    "EMAIL_BACKEND",
    "MODEL_NAME",
    "OLLAMA_API_BASE",
    "OLLAMA_API_KEY",
    "OLLAMA_DATA_DESTINATION",
    "OPENAI_API_BASE",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "SECURE_HSTS_INCLUDE_SUBDOMAINS",
    "SECURE_HSTS_PRELOAD",
    "SECURE_HSTS_SECONDS",
    "SECURE_SSL_REDIRECT",
    "SESSION_COOKIE_SECURE",
    "WAGTAILADMIN_BASE_URL",
):
    os.environ.pop(name, None)

from demo_site.settings import *  # noqa: E402, F403
from demo_site.settings import DATABASES, USES_POSTGRESQL  # noqa: E402

if USES_POSTGRESQL:
    # tests/postgres.py has migrated it. A copy takes a fiftieth of the time that migrations take.
    DATABASES["default"]["TEST"] = {"TEMPLATE": os.environ.get("TEST_TEMPLATE")}

# Wagtail's own log of what visitors search for, which a site may have or not.
INSTALLED_APPS = [*INSTALLED_APPS, "wagtail.contrib.search_promotions"]  # noqa: F405

# Django's own takes a good part of a second for each password, as it should.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# The smaller of the two models: tests index thousands of pages.
FINETUNE_SWITCH["INDEX"]["EMBEDDINGS"] = "multilingual"  # noqa: F405
