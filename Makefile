# `make demo` runs the demo site, `make test` runs every check. Both set up what they need.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PORT ?= 8000
STAMP := $(VENV)/.installed

# Dozens of processes run the same code: all but the first find it compiled.
export PYTHONDONTWRITEBYTECODE :=

# Workers share the processors: several threads for a matrix would only wait for each other.
export OPENBLAS_NUM_THREADS := 1

.DEFAULT_GOAL := help

.PHONY: help demo run test lint check-style check-types check-imports check-settings unit servers sqlite timed bench load lock build clean test-all screenshots messages

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' \
		| awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

$(STAMP): requirements/dev.lock
	@echo "==> Making the virtual environment in $(VENV) and installing requirements/dev.lock"
	@$(PYTHON) -c 'import sys; sys.exit("finetune_switch needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say which one: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements/dev.lock >$(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.lock
	@# In a fifth of pip's time. It does not read pip's configuration, where an index may be named.
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/dev.lock \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@touch $(STAMP)

demo: $(STAMP) ## Set up and start the demo site (PORT=8000)
	@$(BIN)/python manage.py run_demo --port $(PORT)

run: $(STAMP) ## Start the demo site again, without setting anything up
	@$(BIN)/python manage.py run_demo --port $(PORT) --no-setup

# Servers wait more than they work, so they run beside the others.
test: $(STAMP) lint ## Run every check and test, the browser's included
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=line unit servers sqlite

lint: $(STAMP) ## Check style, types, templates, migrations and settings
	@$(MAKE) --no-print-directory --jobs 2 check-types check-imports check-style check-settings

check-style:
	@echo "==> ruff, djlint and import-linter"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/djlint --quiet --lint finetune_switch/templates templates
	@$(BIN)/lint-imports --no-logo

check-types:
	@echo "==> mypy"
	@$(BIN)/mypy

# By one process, which compiles what dozens will use.
check-imports:
	@echo "==> imports"
	@LITELLM_LOCAL_MODEL_COST_MAP=True $(BIN)/python -c "import litellm"
	@DATABASE_URL= $(BIN)/python -m pytest --collect-only -qq >$(VENV)/tests.txt || { cat $(VENV)/tests.txt; exit 1; }

check-settings:
	@echo "==> migrations and settings"
	@DATABASE_URL=sqlite://:memory: $(BIN)/python manage.py makemigrations --check --dry-run
	@DATABASE_URL=sqlite://:memory: $(BIN)/python manage.py check --fail-level WARNING
	@DEBUG=0 ALLOWED_HOSTS=example.org REDIS_URL=redis://cache.example.org/0 SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(60))') \
		DATABASE_URL=sqlite://:memory: $(BIN)/python manage.py check --deploy --fail-level WARNING

# Tests wait for model servers and browsers as often as for a processor.
WORKERS := 3

# What is left out here runs in `make test-all`.
QUICK := -m "not wheel and not timed and not thorough"

unit: $(STAMP) ## Run the tests on a private PostgreSQL with pgvector, but for those of servers
	@echo "==> Tests on PostgreSQL"
	@$(BIN)/python -m tests.postgres -q -n $(WORKERS) --dist loadfile $(QUICK) --ignore=tests/servers $(PYTEST_ARGS)

servers: $(STAMP) ## Run the tests of real WSGI and ASGI servers
	@echo "==> Tests of servers on PostgreSQL"
	@$(BIN)/python -m tests.postgres -q $(QUICK) tests/servers $(PYTEST_ARGS)

sqlite: $(STAMP) ## Run the tests of what people start with, on SQLite
	@echo "==> Tests on SQLite"
	@DATABASE_URL= $(BIN)/python -m pytest -q tests/test_sqlite.py $(PYTEST_ARGS)

timed: $(STAMP) ## Run only the tests that measure seconds
	@echo "==> Tests that measure seconds"
	@$(BIN)/python -m tests.postgres -q tests/servers/timed $(PYTEST_ARGS)

bench: $(STAMP) ## Measure what the plugin costs, side by side with doing without it
	@$(BIN)/python -m benchmarks

LOAD := .venvs/load/bin/locust

load: $(STAMP) $(LOAD) ## Measure two hundred visitors at once (make load LOAD_ARGS=--large)
	@$(BIN)/python -m benchmarks.visitors $(LOAD_ARGS)

# An environment of its own: locust replaces parts of the standard library.
$(LOAD): requirements/load.lock
	@echo "==> Installing locust into .venvs/load"
	@test -x .venvs/load/bin/python || $(PYTHON) -m venv .venvs/load
	@.venvs/load/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

screenshots: $(STAMP) ## Take the pictures of README and docs from the running code
	@$(BIN)/python -m tests.e2e.screenshots

lock: $(STAMP) ## Renew requirements/dev.lock and requirements/load.lock
	@$(BIN)/uv pip compile requirements/dev.in --override requirements/overrides.txt --universal \
		--python-version 3.11 --fork-strategy fewest --generate-hashes --upgrade \
		--no-emit-index-url --no-emit-find-links --no-header --quiet -o requirements/dev.lock
	@$(BIN)/uv pip compile requirements/load.in --universal --python-version 3.11 \
		--fork-strategy fewest --generate-hashes --upgrade --no-emit-index-url \
		--no-emit-find-links --no-header --quiet -o requirements/load.lock

build: $(STAMP) ## Build the wheel and the source distribution into dist/
	@$(BIN)/python -m build --no-isolation --outdir dist .

test-all: test timed ## Run what a release needs: also SQLite, the wheel, other versions
	@echo "==> All tests on SQLite"
	@DATABASE_URL= TEST_THOROUGHLY=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(QUICK) --ignore=tests/servers
	@DATABASE_URL= $(BIN)/python -m pytest -q $(QUICK) tests/servers
	@echo "==> Thorough tests on PostgreSQL"
	@TEST_THOROUGHLY=1 $(BIN)/python -m tests.postgres -q -m thorough
	@echo "==> The wheel"
	@DATABASE_URL= $(BIN)/python -m pytest -q -m wheel
	@$(BIN)/python -m tests.matrix

messages: $(STAMP) ## Collect the texts to translate
	@cd finetune_switch && ../$(BIN)/python ../manage.py makemessages --all --no-location

clean: ## Remove the environment, the demo's database and everything that was built
	rm -rf $(VENV) .venvs var build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
