# `make` alone lists what there is. Everything runs in .venv, made on the way.
# An absolute path: with the environment's folder first in PATH `python3` would be its own.
PYTHON := $(or $(PYTHON),$(shell command -v python3))
BIN := .venv/bin
INSTALLED := .venv/.installed
# The pipeline's commands say `python`: they must find the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)
.DEFAULT_GOAL := help
.PHONY: help repro test lint smoke bench report readme data lock clean

help:  ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-8s %s\n", $$1, $$2}'

$(INSTALLED): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip .venv
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --progress-bar off -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

data: $(INSTALLED)  ## fetch and verify what the default profile reads
	$(BIN)/tl1bench data --quiet

repro: data  ## set up, fetch the data and run the default profile: train … report
	$(BIN)/tl1bench run --profile default

test: $(INSTALLED)  ## set up and pass the tests
	$(BIN)/python -m pytest -m "not slow"

lint: $(INSTALLED)  ## style, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

smoke: $(INSTALLED)  ## the whole pipeline on a small problem, in a temporary copy of this tree
	$(BIN)/tl1bench run --profile smoke

bench: $(INSTALLED)  ## time our own code (asv, this checkout)
	@test -f $(HOME)/.asv-machine.json || $(BIN)/asv machine --yes
	$(BIN)/asv run --python=same --quick --show-stderr --set-commit-hash "$$(git rev-parse HEAD)"

report: $(INSTALLED)  ## draw the figures, tables and page again from the committed results
	$(BIN)/tl1bench report --params params.yaml

readme: $(INSTALLED)  ## write the README's numbers anew from the committed results
	$(BIN)/tl1bench readme

lock: $(INSTALLED)  ## write requirements.lock from the environment
	$(BIN)/python -m pip freeze --exclude-editable --all > requirements.lock

clean:  ## remove what was built, not the data and not the committed results
	rm -rf build .work .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
