"""Settings of the demo site.

Settings that differ between a laptop and a server are read from the environment, or from `.env`
next to manage.py (by django-environ; `ENV_FILE` names another file).

Without these the site uses SQLite and DEBUG, and only serves localhost.
"""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from demo_site import standin_address as standin

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
environ.Env.read_env(env.str("ENV_FILE", default=str(BASE_DIR / ".env")))

# --- Security -----------------------------------------------------------------------------

# On by default, because this is a demo. With the default ALLOWED_HOSTS, a copy at a public address
# rejects all requests.
DEBUG = env.bool("DEBUG", default=True)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

INSECURE_KEY = "demo-only-insecure-key-never-use-this-on-a-server"
SECRET_KEY = env.str("SECRET_KEY", default=INSECURE_KEY)
if not DEBUG and SECRET_KEY == INSECURE_KEY:
    raise ImproperlyConfigured("Set SECRET_KEY in the environment: DEBUG is off.")

CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SESSION_COOKIE_SECURE = env.bool("SESSION_COOKIE_SECURE", default=not DEBUG)
CSRF_COOKIE_SECURE = env.bool("CSRF_COOKIE_SECURE", default=not DEBUG)
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEBUG)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=0 if DEBUG else 31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=not DEBUG)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", default=not DEBUG)
if env.bool("BEHIND_TLS_PROXY", default=False):
    # Only safe if the proxy always sets this header, since clients could send it.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Apps and middleware ------------------------------------------------------------------

INSTALLED_APPS = [
    "demo_site",
    "wagtail.contrib.settings",
    "wagtail.contrib.redirects",
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
    "django_tasks_db",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    # Before staticfiles, so that runserver uses WhiteNoise as well.
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "wagtail_vector_index",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "demo_site.middleware.content_security_policy",
    "wagtail.contrib.redirects.middleware.RedirectMiddleware",
]

ROOT_URLCONF = "demo_site.urls"
WSGI_APPLICATION = "demo_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "wagtail.contrib.settings.context_processors.settings",
            ],
        },
    },
]

# --- Storage ------------------------------------------------------------------------------

VAR_DIR = BASE_DIR / "var"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# An empty value overrides `.env`: `DATABASE_URL= make demo` uses SQLite.
DATABASE_URL = env.str("DATABASE_URL", default="") or f"sqlite:///{VAR_DIR / 'demo.sqlite3'}"
DATABASES = {"default": env.db_url_config(DATABASE_URL)}
USES_POSTGRESQL = DATABASES["default"]["ENGINE"].endswith("postgresql")

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Without these, concurrent writes fail with "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    if DATABASES["default"]["NAME"] != ":memory:":
        Path(DATABASES["default"]["NAME"]).parent.mkdir(parents=True, exist_ok=True)

if REDIS_URL := env.str("REDIS_URL", default=""):
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

# Run by `manage.py db_worker`.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
# WhiteNoise warns if the directory does not exist.
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
MEDIA_URL = "/media/"
MEDIA_ROOT = VAR_DIR / "media"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        # The manifest requires `collectstatic`.
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- Users --------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "wagtailcore_login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
EMAIL_BACKEND = env.str("EMAIL_BACKEND", default="django.core.mail.backends.console.EmailBackend")

# --- Language and time --------------------------------------------------------------------

# All pages are in English, so there is no LocaleMiddleware. German is for the admin, where users
# choose their language.
LANGUAGE_CODE = "en-gb"
LANGUAGES = [("en-gb", "English"), ("de", "Deutsch")]
TIME_ZONE = "Europe/London"
USE_I18N = True
USE_TZ = True

# --- Wagtail ------------------------------------------------------------------------------

WAGTAIL_SITE_NAME = "Tarrowby Harbour"
WAGTAILADMIN_BASE_URL = env.str("WAGTAILADMIN_BASE_URL", default="http://localhost:8000")
WAGTAIL_FRONTEND_LOGIN_TEMPLATE = "demo_site/login.html"
WAGTAIL_PASSWORD_REQUIRED_TEMPLATE = "demo_site/password_required.html"
# The admin makes no requests to other servers.
WAGTAIL_ENABLE_UPDATE_CHECK = False
WAGTAIL_ENABLE_WHATS_NEW_BANNER = False
WAGTAIL_GRAVATAR_PROVIDER_URL = None
WAGTAILSEARCH_BACKENDS = {"default": {"BACKEND": "wagtail.search.backends.database"}}
WAGTAILDOCS_EXTENSIONS = ["csv", "docx", "key", "odt", "pdf", "pptx", "rtf", "txt", "xlsx", "zip"]
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

# --- Vector search ------------------------------------------------------------------------

# Stored in the plugin's own index, built by `manage.py finetune_switch index`. With one of
# wagtail-vector-index's own providers, `update_vector_indexes` builds the indexes.
WAGTAIL_VECTOR_INDEX_STORAGE_PROVIDERS = {
    "default": {"STORAGE_PROVIDER": "finetune_switch.vector_index.storage.SiteStorageProvider"}
}
if USES_POSTGRESQL:
    INSTALLED_APPS += ["django.contrib.postgres", "wagtail_vector_index.storage.pgvector"]

# --- AI answers ---------------------------------------------------------------------------

INSTALLED_APPS += ["finetune_switch", "finetune_switch.vector_index"]
MIDDLEWARE += ["finetune_switch.middleware.CurrentSiteMiddleware"]

OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OLLAMA_API_BASE = env.str("OLLAMA_API_BASE", default="")

FINETUNE_SWITCH = {
    "CONNECTIONS": {
        "openai": {
            "PROVIDER": "openai",
            "LABEL": "OpenAI",
            "API_KEY": OPENAI_API_KEY,
            "DATA_DESTINATION": "OpenAI, United States",
        }
        if OPENAI_API_KEY
        else {
            "PROVIDER": "openai",
            "LABEL": "Stand-in for OpenAI",
            "API_BASE": standin.openai_address,
            "API_KEY": "stand-in",
            "DATA_DESTINATION": "a stand-in for OpenAI on this machine",
        },
        "ollama": {
            "PROVIDER": "ollama_chat",
            "LABEL": "Our own server",
            "API_BASE": OLLAMA_API_BASE,
            "DATA_DESTINATION": env.str("OLLAMA_DATA_DESTINATION", default="") or "our own server",
            "DEADLINES": {"FIRST_TOKEN": 90},
        }
        if OLLAMA_API_BASE
        else {
            "PROVIDER": "ollama_chat",
            "LABEL": "Stand-in for Ollama",
            "API_BASE": standin.address,
            "DATA_DESTINATION": "a stand-in for Ollama on this machine",
        },
    },
    "SEED_BACKEND": {
        "CONNECTION": "openai",
        # As of 21 November 2026, without an announced shutdown.
        "MODEL_NAME": env.str("MODEL_NAME", default="")
        or ("gpt-6-luna" if OPENAI_API_KEY else "standin-hosted"),
        "ALIAS": "hosted",
        "LABEL": "OpenAI" if OPENAI_API_KEY else "Hosted model (stand-in for OpenAI)",
        "CONTEXT_WINDOW": 16_384,
    },
    "RETENTION_DAYS": 30,
    # The ids in templates/demo_site/blocks/body.html, so that sources link to blocks.
    "INDEX": {"BLOCK_ANCHOR": "block-{id}"},
}

WAGTAIL_VECTOR_INDEX = {
    "CHAT_BACKENDS": {
        "default": {
            "CLASS": "finetune_switch.vector_index.SwitchedChatBackend",
            "CONFIG": {"MODEL_ID": "switch"},
        },
    },
    "EMBEDDING_BACKENDS": {
        "default": {
            "CLASS": "finetune_switch.vector_index.embeddings.SiteEmbeddingBackend",
            "CONFIG": {"MODEL_ID": "site"},
        },
    },
}
