# `make demo` and `make test` need python3 (3.10 or later) and make, and nothing else that is installed.
# Another Python: make test PYTHON=python3.12. A part of the tests: make test ARGS='-k lifecycle'.

PYTHON ?= python3
ARGS ?=
# how many tests at the same time; a pair of vendors, `mysql-mariadb`: MySQL sources, a MariaDB local server
WORKERS ?= 2
PAIR ?=
# 1: the versions of requirements/dev.lock, each checked by its hash, instead of the newest
LOCKED ?=
LOCK := requirements/dev.lock
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/installed-runtime
DEVELOPMENT := $(VENV)/installed-development
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

PYTEST = $(BIN)/python -m pytest -n $(WORKERS)

.PHONY: help demo test unit integration histories kills kills-random lint coverage schema lock audit bench servers clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    start throwaway servers, link two small pipelines, show what is protected"
	@echo "make test    everything that is checked: formatting, types, all tests on real servers"
	@echo "make lint    formatting and types only"
	@echo "make unit    the tests that need no server"
	@echo "make integration  the tests that need servers (PAIR=mysql-mariadb: those of one pair, source-local)"
	@echo "make histories    2,000 random histories instead of 200 (DJLINK_HISTORIES=…, DJLINK_SEED=…)"
	@echo "make kills        an apply killed at each of its statements"
	@echo "make kills-random 200 applies killed, 50 connections cut, 10 servers killed while owners work (DJLINK_SEED=…)"
	@echo "make coverage     make test, measured line by line; the report is .coverage/html/index.html"
	@echo "make bench   djlink beside its peers, on throwaway servers (ARGS='--only narrow plan', ARGS=--full)"
	@echo "make schema  write the JSON Schemas in schemas/ anew from the models"
	@echo "make lock    pin the newest versions of all packages in $(LOCK)"
	@echo "make audit   known advisories of the packages that $(LOCK) pins"
	@echo "make clean   remove .venv and the caches of the tools"

demo: $(RUNTIME)
	@$(BIN)/djlink demo

test: lint servers
	$(PYTEST) $(ARGS)

unit: $(DEVELOPMENT)
	$(PYTEST) tests/unit $(ARGS)

integration: servers
	$(PYTEST) tests/integration tests/e2e $(if $(PAIR),--pair $(PAIR)) $(ARGS)

histories: servers
	DJLINK_HISTORIES=$${DJLINK_HISTORIES:-2000} $(PYTEST) tests/integration/test_histories.py $(ARGS)

kills-random: servers
	$(BIN)/python -m tests.chaos $(ARGS)

kills: servers
	DJLINK_KILLS=$${DJLINK_KILLS:-all} $(PYTEST) tests/integration/test_crash.py \
	  tests/integration/test_crash_moved.py tests/integration/test_crash_ranges.py \
	  tests/integration/test_crash_refill.py tests/integration/test_deletion_crash.py $(ARGS)

# Takes about twice as long as `make test`, so it is no part of it. Each process writes a file of its own.
coverage: servers
	@rm -rf .coverage
	$(BIN)/coverage run -m pytest -n $(WORKERS) $(ARGS) || failed=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/coverage html --quiet && $(BIN)/coverage report --skip-covered; \
	exit $${failed:-$$?}

# Unpacked and prepared before tests start, for it takes a while on a new machine and says so.
servers: $(DEVELOPMENT)
	@$(BIN)/python -m djlink_manifest.sandbox mysql mariadb mariadb-11.8
	@$(BIN)/python -m tests.support.browser

lint: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

schema: $(DEVELOPMENT)
	@mkdir -p schemas
	$(BIN)/python -m djlink_manifest.manifest.models.schema
	$(BIN)/python -m djlink_manifest.report.document.schema

lock: $(DEVELOPMENT)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --generate-hashes --upgrade \
	  --quiet --custom-compile-command 'make lock' --output-file $(LOCK)

audit: $(DEVELOPMENT)
	$(BIN)/python -m pip_audit --requirement $(LOCK) --require-hashes --disable-pip --progress-spinner off

bench: servers
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) .coverage build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than pyproject.toml where what is installed is what it asks for.
$(RUNTIME): pyproject.toml | $(BIN)/python
	@echo "Installing djlink into $(VENV)."
	@$(PIP) install --editable .
	@touch $@

$(DEVELOPMENT): pyproject.toml | $(BIN)/python
	@echo "Installing djlink and the tools for its development into $(VENV)."
	@$(if $(LOCKED),$(PIP) install --require-hashes --requirement $(LOCK) && $(PIP) install --no-deps --editable .,\
	  $(PIP) install --editable '.[dev]')
	@touch $@ $(RUNTIME)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is not there. Install Python 3.10 or later, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is older than Python 3.10. Name a later one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python lacks its venv module. Install it: apt install python3-venv (Debian, Ubuntu)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
