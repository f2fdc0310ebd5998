# `make demo` and `make test` need python3 (3.10 or later) and make, and nothing else that is installed.
# Another Python: make test PYTHON=python3.12. A part of the tests: make test ARGS='-k lifecycle'.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/installed-runtime
DEVELOPMENT := $(VENV)/installed-development
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test lint schema bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    start throwaway servers, link two small pipelines, show what is protected"
	@echo "make test    everything that is checked: formatting, types, all tests on real servers"
	@echo "make lint    formatting and types only"
	@echo "make bench   djlink beside its peers, on throwaway servers (ARGS='--only narrow plan', ARGS=--full)"
	@echo "make schema  write schemas/manifest.schema.json anew from the models"
	@echo "make clean   remove .venv and the caches of the tools"

demo: $(RUNTIME)
	@$(BIN)/djlink demo

# The servers are unpacked and prepared first, for it takes a while on a new machine and says so.
test: lint
	@$(BIN)/python -m djlink_manifest.sandbox mysql mariadb
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lint: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

schema: $(DEVELOPMENT)
	@mkdir -p schemas
	$(BIN)/python -m djlink_manifest.manifest.models.schema

bench: $(DEVELOPMENT)
	@$(BIN)/python -m djlink_manifest.sandbox mysql mariadb
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than pyproject.toml where what is installed is what it asks for.
$(RUNTIME): pyproject.toml | $(BIN)/python
	@echo "Installing djlink into $(VENV)."
	@$(PIP) install --editable .
	@touch $@

$(DEVELOPMENT): pyproject.toml | $(BIN)/python
	@echo "Installing djlink and the tools for its development into $(VENV)."
	@$(PIP) install --editable '.[dev]'
	@touch $@ $(RUNTIME)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is not there. Install Python 3.10 or later, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is older than Python 3.10. Name a later one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python lacks its venv module. Install it: apt install python3-venv (Debian, Ubuntu)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
