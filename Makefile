# Everything from a clone: `make run` serves, `make test` proves. Needs Python 3.11+, make, the index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run demo test test-nojit test-gpu check bench load chaos quality listen studio pictures lock clean

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# A stamp holds the lock file's content: setting up again does nothing until it changes.
$(VENV)/.run: requirements.lock pyproject.toml
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --requirement requirements.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(BIN)/pip install --disable-pip-version-check --quiet --requirement requirements-dev.lock
	touch $@

setup: $(VENV)/.run  ## make .venv from the lock file

setup-dev: $(VENV)/.dev  ## the same, with what tests and checks need

run: setup  ## serve on 127.0.0.1:8000
	$(BIN)/stembox serve

demo: setup  ## separate a song that stembox makes itself
	$(BIN)/stembox demo

test: setup-dev  ## all tests, two at a time
	$(BIN)/pytest -n 2

check: setup-dev  ## lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup-dev  ## measure, side by side with what others use; writes loadtests/bench.json
	$(BIN)/stembox bench

quality: setup-dev  ## how well the starter model separates songs it has never heard; writes quality.*
	$(BIN)/python -m server.starter.quality

listen: setup-dev  ## excerpts to listen to, mix, truth and guess side by side; writes listen/
	$(BIN)/python -m server.starter.listen

studio:  ## build the page anew from server/studio/src (needs Node; nothing else here does)
	cd server/studio && npm ci --ignore-scripts --no-audit --no-fund && npm run build

pictures: setup-dev  ## take the README's pictures from the real page (needs Chromium)
	$(BIN)/python -m tests.studio.picture server/studio/pictures

test-nojit: setup-dev  ## the kernels' tests with their loops as plain Python
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest -n 2 tests/kernels

test-gpu: setup-dev  ## the tests that need a CUDA card
	$(BIN)/pytest -m gpu

load: setup-dev  ## three minutes of traffic for two cores, against a server of its own; writes load-report/
	$(BIN)/python -m loadtests.traffic $(LOAD)

chaos: setup-dev  ## the long run of kills
	$(BIN)/pytest -m chaos

lock: setup-dev  ## write requirements.lock and requirements-dev.lock anew from .venv
	$(BIN)/python .ci/lock.py

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
