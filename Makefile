# `make` alone lists what there is. Everything runs in .venv, made on the way.
# An absolute path: with the environment's folder first in PATH `python3` would be its own.
PYTHON := $(or $(PYTHON),$(shell command -v python3))
BIN := .venv/bin
INSTALLED := .venv/.installed
# The pipeline's commands say `python`: they must find the environment's.
export PATH := $(CURDIR)/$(BIN):$(PATH)
.DEFAULT_GOAL := help
.PHONY: help repro test lint types style bandit audit smoke bench bench-history bench-compare bench-site gate report readme data lock sanitize clean

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-13s %s\n", $$1, $$2}'

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
	$(BIN)/python -m pytest -m "not slow" -n auto

sanitize: $(INSTALLED)  ## the tests of the kernels, watched by gcc's AddressSanitizer
	$(BIN)/python -m pytest -m slow tests/kernels/test_memory.py

lint: $(INSTALLED)  ## style, types, architecture, docstrings, and whether asv accepts the benchmarks
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target types style

# As long as all the rest of the lint together, so they run side by side.
types:
	$(BIN)/mypy

style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m tools.house
	$(BIN)/asv check --python=same
	$(MAKE) --no-print-directory bandit

bandit: $(INSTALLED)  ## look for what could run a file's content (answers: docs/security.md)
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive tl1bench tools benchmarks

audit: $(INSTALLED)  ## ask for known holes in the pinned packages (needs the network)
	$(BIN)/python -m tools.audit

smoke: $(INSTALLED)  ## the whole pipeline on a small problem, in a temporary copy of this tree
	$(BIN)/tl1bench run --profile smoke

# asv's name for this machine, by its processor.
MACHINE = $$($(BIN)/python -m benchmarks._machine)
# Which benchmarks: a regular expression. History measures those that take seconds.
ONLY ?= .
HISTORY ?= ^(compaction.(Compact|Outcome)|gate|latency|prox_error|startup)
COMMITS ?= 6
BASE ?= main

bench: $(INSTALLED)  ## time our own code, this checkout, once (asv); ONLY=regex chooses
	$(BIN)/asv run --python=same --quick --show-stderr --machine "$(MACHINE)" \
		--set-commit-hash "$$(git rev-parse HEAD)" --bench "$(ONLY)"
	$(BIN)/python -m benchmarks._table
	$(BIN)/python -m benchmarks.cost

bench-history: $(INSTALLED)  ## time the last COMMITS commits in an environment of asv's own
	git rev-list --first-parent --max-count=$(COMMITS) HEAD | $(BIN)/asv run --machine "$(MACHINE)" \
		--skip-existing-commits --show-stderr -a rounds=1 -a repeat=5 --bench "$(HISTORY)" HASHFILE:-

bench-compare: $(INSTALLED)  ## time BASE=main and this commit in turn (asv continuous); ONLY=regex
	$(BIN)/asv continuous --machine "$(MACHINE)" --factor 1.3 --bench "$(ONLY)" $(BASE) HEAD

# asv's pages load these from other servers; with npm they lie beside the page instead.
LIBRARIES := jquery@3.3.1 flot@0.8.3 flot-orderbars@1.0.0 stupid-table-plugin@1.1.3 \
	blueimp-md5@2.19.0 bootstrap@3.1.1

bench-site: $(INSTALLED)  ## write the curves of all committed measurements to .asv/html
	$(BIN)/asv publish
	@if command -v npm > /dev/null; then \
		npm install --silent --no-audit --no-fund --ignore-scripts --prefix .asv $(LIBRARIES) && \
		$(BIN)/python -m benchmarks._site .asv/node_modules; fi
	@echo "Look at it: python -m http.server --directory .asv/html"

gate: $(INSTALLED)  ## is our code slower than recorded? (benchmarks/gate.py; the tests ask too)
	$(BIN)/python -m benchmarks.gate

report: $(INSTALLED)  ## draw the figures, tables and page again from the committed results
	$(BIN)/tl1bench report --params params.yaml

readme: $(INSTALLED)  ## write the README's numbers anew from the committed results
	$(BIN)/tl1bench readme

lock: $(INSTALLED)  ## write requirements.lock from the environment
	$(BIN)/python -m pip freeze --exclude-editable --all > requirements.lock

clean:  ## remove what was built, not the data and not the committed results
	rm -rf build .work .venv .asv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
