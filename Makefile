# seesay: `make demo` and `make test` set up what they need; run again, they set up nothing anew.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.seesay-setup

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean
.DELETE_ON_ERROR:

help:  ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile

setup: $(READY)  ## make .venv with seesay and all it needs

demo: $(READY)  ## train a captioner on the photographs that come along, and write its report (minutes)
	@$(BIN)/seesay demo

test: $(READY)  ## run the tests
	@$(BIN)/python -m pytest -q -n auto

lint: $(READY)  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## remove .venv, caches and build outputs; runs/ stays
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || \
	  { echo "error: no $(PYTHON) here; seesay needs Python 3.11 or newer; install one or name it: make setup PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: this is Python %d.%d; seesay needs 3.11 or newer; name one: make setup PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Setting up .venv (once; some minutes, most of it torch) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
