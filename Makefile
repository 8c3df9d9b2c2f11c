# Every recipe needs make and Python 3.11 or newer, nothing else; the first one run sets up .venv.
#   PYTHON   the interpreter that .venv is made from      make setup PYTHON=python3.13
#   VENV     where the environment is                     make test VENV=.venv-3.13
#   BENCH    which measurements `make bench` runs         make bench BENCH="limit modes"
#   ARGS     added to pytest                              make test ARGS="tests/model -x"

PYTHON ?= python3
VENV ?= .venv
BENCH ?= limit modes dedicated sql backlog latency fallback hooks flows agents
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
READY := $(VENV)/ready
RUN := $(BIN)/python -m trioworker.demo

# Pyright's wrapper would ask the network for a newer release before it looks at our code.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.PHONY: help setup run test lint types format bench coverage clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make the environment; done anew when pyproject.toml changes

run: $(READY) ## Watch thousands of real jobs go through an embedded PostgreSQL
	@$(RUN)

test: $(READY) ## Run every test; those in tests/house run the linters and checkers, too
	@$(BIN)/python -m pytest $(ARGS)

lint: $(READY) ## Check style, formatting, types, the import contract and tidiness
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m tests.house.tidy
	@$(MAKE) --no-print-directory types

types: $(READY) ## Check types: mypy on everything, pyright on the public API
	@$(BIN)/mypy
	@$(BIN)/pyright --pythonpath $(BIN)/python

format: $(READY) ## Format the code and mend what ruff can mend by itself
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(READY) ## Measure; one at a time with BENCH=limit, see `trioworker bench --help`
	@for name in $(BENCH); do $(BIN)/trioworker bench $$name || exit; done

# A test that failed ends it with 1, but not before the table: both are worth knowing.
coverage: $(READY) ## Measure which branches of the worker `pytest sim` takes; below 90 in 100 fails
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest sim $(ARGS); status=$$?; \
	$(BIN)/coverage combine --quiet && $(BIN)/python -m sim.branches && exit $$status

clean: ## Remove the environment and every cache; data folders stay
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src sim tests examples -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"trioworker needs Python 3.11 or newer, and $(PYTHON) is {sys.version.split()[0]}; try: make PYTHON=python3.12")'
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade "pip>=25.1" # the first that reads [dependency-groups]
	@$(PIP) install --editable ".[embedded]" --group dev
	@touch $@
