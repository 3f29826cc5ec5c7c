# `make audit` on a bare machine needs Python 3.11 or newer and make; everything else goes into .venv.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1	\2/p' Makefile | expand -t 22

.PHONY: audit
audit: $(STAMP) ## simulate a small set, audit the shipped ou66 finder, write reports/latest
	$(BIN)/python -m lensaudit quickstart --out reports/latest

.PHONY: test
test: $(STAMP) ## all tests, the slowest listed
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -rfEs --durations=10 --durations-min=5 -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: fuzz
fuzz: $(STAMP) ## 3 000 damaged inputs and hostile strings over all readers and writers, counted
	OMP_NUM_THREADS=1 PYTHONPATH=.:tests $(BIN)/python -m campaigns.fuzz --n 3000

.PHONY: kills
kills: $(STAMP) ## 100 kills over all long commands, which then end as if undisturbed, counted
	OMP_NUM_THREADS=1 PYTHONPATH=.:tests $(BIN)/python -m campaigns.kills --n 100

.PHONY: lint
lint: $(STAMP) ## ruff, ruff format, mypy of package and benchmarks, and mypy --strict of a user's script
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy benchmarks
	$(BIN)/python -m mypy --strict --follow-imports silent tests/api/user_script.py

.PHONY: docs
docs: $(STAMP) ## the documentation, in docs/_build/html; notebooks are run, warnings are errors
	$(BIN)/python -m sphinx -E -b html -W --keep-going -q docs docs/_build/html

.PHONY: format
format: $(STAMP) ## let ruff fix what it can
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

.PHONY: install
install: $(STAMP) ## only the environment

.PHONY: wheel
wheel: $(STAMP) ## build dist/lensaudit-*.whl
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation

.PHONY: wheel-check
wheel-check: wheel ## install the wheel in an empty environment and audit from an empty folder (needs the package index)
	@.ci/wheel-check

.PHONY: clean
clean: ## remove the environment and what was built
	rm -rf $(VENV) dist build docs/_build reports/latest

$(STAMP): pyproject.toml constraints.txt .ci/install
	@.ci/install
	@touch $@
