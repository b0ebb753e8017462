"""The demo site as the tests run it in server processes.

It is configured as a site that is open to the public (no DEBUG), and its connections lead to the
stand-ins whose addresses are in the environment.
"""

import gc
import json
import os
import sys
import threading
import time

os.environ.setdefault("DEBUG", "0")
os.environ.setdefault("SECRET_KEY", "for-the-server-tests-only-and-for-nothing-else")

from demo_site.settings import *  # noqa: F403
from demo_site.settings import DATABASES, FINETUNE_SWITCH, STORAGES, env

ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.site_urls"

# The test servers speak plain HTTP, and nobody collects their static files.
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
STORAGES = STORAGES | {
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
}
# As in tests/settings.py: the tests make people, and these servers let them in.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}

DATABASES["default"]["CONN_MAX_AGE"] = env.int("TEST_CONN_MAX_AGE", default=0)
if pool := env.str("TEST_DATABASE_POOL", default=""):
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = json.loads(pool)

FINETUNE_SWITCH = FINETUNE_SWITCH | {
    "CONNECTIONS": {
        "openai": {
            "PROVIDER": "openai",
            "API_BASE": env.str("TEST_OPENAI_BASE", default="http://127.0.0.1:9/v1"),
            "API_KEY": "sk-test-secret-key",
            "DATA_DESTINATION": "a stand-in for OpenAI",
        },
        "ollama": {
            "PROVIDER": "ollama_chat",
            "API_BASE": env.str("TEST_OLLAMA_BASE", default="http://127.0.0.1:9"),
            "DATA_DESTINATION": "a stand-in for Ollama",
        },
        # Port 9 is "discard", where nobody listens.
        "nowhere": {
            "PROVIDER": "openai",
            "API_BASE": "http://127.0.0.1:9/v1",
            "API_KEY": "sk-test-secret-key",
            "DATA_DESTINATION": "nowhere",
        },
    },
}
FINETUNE_SWITCH["VISITORS"] = {
    # All of them come from one address.
    "QUESTIONS_A_MINUTE": None,
    "QUESTIONS_A_DAY": None,
} | json.loads(env.str("TEST_VISITORS", default="{}"))
if embeddings := env.str("TEST_EMBEDDINGS", default=""):
    FINETUNE_SWITCH["INDEX"] = {"EMBEDDINGS": json.loads(embeddings)}


def collect_garbage() -> None:
    for second in range(sys.maxsize):
        time.sleep(1)
        gc.collect(1 if second % 60 else 2)


# Before Python 3.12 the collector may begin in the middle of ContextVar.set(), where what it
# finalises can crash the process (python/cpython#148891). From a thread of its own it cannot.
if sys.version_info < (3, 12):
    gc.disable()
    threading.Thread(target=collect_garbage, daemon=True).start()
