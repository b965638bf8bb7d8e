# Everything a developer and CI need. Works on a fresh Linux machine with Python 3.11 or newer, git and make.
#
#   make demo    refine the example package with the embedded model (a download of 1.1 GB), without any key
#   make test    the test suite                    make lint    style, types, layers, secrets, locks, pages
#   make bench   the benchmarks                    make chaos   schedules of faults over real runs
#   make consensus-study   what deciding early costs and how right it is, without calls
#   make test ARGS='-m chaos'   only the tests that kill processes
#   make test-long   the whole runs that the suite leaves out for time
#   make docs    rewrite the pages made from code  make lock    rewrite the lock files
#   make clean   remove what make made
#
# ARGS is handed on: make test ARGS="-k ledger -x". BESSEMER_DEMO_BACKEND=claude make demo uses a key instead.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for one in python3.13 python3.12 python3.11 python3; do \
	if "$$one" -c '$(ENOUGH)' 2>/dev/null; then echo "$$one"; break; fi; done)
VENV ?= .venv
BIN := $(VENV)/bin
# The lock is complete, so nothing is resolved; bytecode is made when a module is first used. It must be kept, whatever
# the environment says: a run starts a dozen processes, and compiling is half of what it takes to start one.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-compile
READY := $(VENV)/.ready
EMBEDDED := $(VENV)/.embedded
ARGS ?=

.PHONY: help demo test test-long lint types style consensus-study bench docs chaos lock clean install

help:
	@sed -n '3,13s/^# \{0,3\}//p' Makefile

install: $(READY)

demo: $(READY) $(if $(BESSEMER_DEMO_BACKEND),,$(EMBEDDED))
	@$(BIN)/python scripts/demo.py $(ARGS)

# A quarter of what tests with hosts take is waiting, so more of them run than there are cores; a file stays on one worker.
TEST_WORKERS := $(shell cores=$$(nproc 2>/dev/null || echo 2); echo $$((cores < 2 ? 2 : 4)))

test: $(READY)
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: $(READY)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup -m long $(ARGS)

chaos: $(READY)
	@$(BIN)/python -m chaos $(ARGS)

# Types take as long as the rest together, so they are checked beside it.
lint: $(READY)
	@$(MAKE) --jobs=2 --output-sync=target types style

types: $(READY)
	@$(BIN)/mypy
	@$(BIN)/mypy scripts/*.py

style: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/scan_secrets.py --tree
	@$(BIN)/python scripts/lock.py --check
	@$(BIN)/python scripts/generate_docs.py --check
	@$(BIN)/python scripts/check_docs.py

consensus-study: $(READY)
	@$(BIN)/python -m benchmarks.consensus $(ARGS)

bench: $(READY)
	@$(BIN)/python benchmarks $(ARGS)

docs: $(READY)
	@$(BIN)/python scripts/generate_docs.py

lock: $(READY)
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet uv
	@$(BIN)/python scripts/lock.py

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so that an interrupted install is taken up again.
$(VENV)/.created:
	@if [ -z "$(PYTHON)" ]; then echo "error: no Python 3.11 or newer was found; install one, or make PYTHON=/path/to/python" >&2; exit 1; fi
	@if ! $(BIN)/python -c 'import pip; $(ENOUGH)' >/dev/null 2>&1; then \
		echo "making $(VENV) with $(PYTHON)"; \
		"$(PYTHON)" -m venv --clear $(VENV) || { \
			echo "error: $(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }; \
	fi
	@touch $@

$(READY): $(VENV)/.created requirements.lock pyproject.toml
	@echo "installing what requirements.lock names (a minute)"
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(EMBEDDED): $(READY) requirements-embedded.lock
	@echo "installing the embedded model (1.1 GB; BESSEMER_DEMO_BACKEND=NAME uses a key instead)"
	@$(INSTALL) --require-hashes -r requirements-embedded.lock
	@touch $@
