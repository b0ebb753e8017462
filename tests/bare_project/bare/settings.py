"""Settings of a small Wagtail site, and below them the plugin's lines, as the README gives them.

The tests and benchmarks leave some of those lines out: `BARE_PLUGIN=0` all of them,
`BARE_PAGES=1` adds three kinds of page, `BARE_ADAPTER=1` the adapter, `BARE_VECTOR_INDEX=1`
wagtail-vector-index itself and a page that it indexes.
"""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "of-a-project-that-answers-nobody"
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "bare.urls"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
WAGTAIL_SITE_NAME = "Bare"
WAGTAILADMIN_BASE_URL = "http://localhost:8000"

INSTALLED_APPS = [
    "wagtail.contrib.settings",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django_filters",
    "django_tasks",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BARE_DATABASE", BASE_DIR / "bare.sqlite3"),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}

if os.environ.get("BARE_PAGES") == "1":
    INSTALLED_APPS += ["almanac"]

# --- The plugin's lines -------------------------------------------------------------------

if os.environ.get("BARE_PLUGIN", "1") == "1":
    INSTALLED_APPS += ["finetune_switch"]
    MIDDLEWARE += ["finetune_switch.middleware.CurrentSiteMiddleware"]
    # A page with the widget: the template's one line, and one in urls.py.
    TEMPLATES[0]["DIRS"] = [BASE_DIR / "bare" / "templates"]
    FINETUNE_SWITCH = {
        "CONNECTIONS": {
            "openai": {
                "PROVIDER": "openai",
                "API_BASE": os.environ.get("OPENAI_API_BASE", ""),
                "API_KEY": os.environ.get("OPENAI_API_KEY", ""),
                "DATA_DESTINATION": "OpenAI, United States",
            },
            "ollama": {
                "PROVIDER": "ollama_chat",
                "API_BASE": os.environ.get("OLLAMA_API_BASE", "http://localhost:11434"),
                "DATA_DESTINATION": "our own server",
            },
        },
        "SEED_BACKEND": {"CONNECTION": "ollama", "MODEL_NAME": "test-model"},
    }

if os.environ.get("BARE_ADAPTER") == "1":
    INSTALLED_APPS += ["finetune_switch.vector_index"]

if os.environ.get("BARE_VECTOR_INDEX") == "1":
    INSTALLED_APPS += ["wagtail_vector_index", "articles"]
    WAGTAIL_VECTOR_INDEX = {
        "CHAT_BACKENDS": {
            "default": {
                "CLASS": "finetune_switch.vector_index.SwitchedChatBackend",
                "CONFIG": {"MODEL_ID": "switch"},
            }
        },
        "EMBEDDING_BACKENDS": {
            "default": {
                "CLASS": "finetune_switch.vector_index.embeddings.EmbeddedEmbeddingBackend",
                "CONFIG": {"MODEL_ID": "use-multilingual-v3"},
            }
        },
    }
    WAGTAIL_VECTOR_INDEX_STORAGE_PROVIDERS = {
        "default": {"STORAGE_PROVIDER": "wagtail_vector_index.storage.numpy.NumpyStorageProvider"}
    }
