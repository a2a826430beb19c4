# SPDX-License-Identifier: GPL-2.0-only
# Everything happens in a virtual environment in the checkout; needs python3 (3.11 or later) with venv.

PYTHON ?= python3
VENV ?= .venv
SEED ?= 1
CANDIDATE ?= rfc-v1
DURATION ?= 30
OUT ?= findings

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Made anew whenever what is installed may have changed.
BASE := $(VENV)/.stamp
TEST := $(VENV)/.stamp-test

.DEFAULT_GOAL := help
.PHONY: help venv fuzz test check bench clean

help:
	@echo "make fuzz    fuzz $(CANDIDATE) for $(DURATION) s (SEED=, CANDIDATE=, DURATION=, OUT=)"
	@echo "make test    run all tests"
	@echo "make check   ruff and mypy --strict"
	@echo "make bench   measure speed and memory"
	@echo "make venv    only install, into $(VENV)"
	@echo "make clean   remove $(VENV) and caches; findings stay"

$(BASE): setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --editable .
	@touch $@

$(TEST): $(BASE)
	$(PIP) install --editable '.[test]'
	@touch $@

venv: $(BASE)

# 0 and 1 are both results: only bad usage (2) and mistakes of s2fuzz (3) fail.
fuzz: $(BASE)
	@status=0; \
	$(BIN)/s2fuzz fuzz --candidate $(CANDIDATE) --seconds $(DURATION) --seed $(SEED) --out $(OUT) || status=$$?; \
	case $$status in \
	0) echo "$(CANDIDATE) showed no regression and no divergence.";; \
	1) echo "$(CANDIDATE) is worse than the original, or differs: see the regressions and divergences above."; \
	   echo "To see why: $(BIN)/s2fuzz run --candidate $(CANDIDATE) --trace FILE";; \
	*) exit $$status;; \
	esac

test: $(TEST)
	$(BIN)/python -m pytest

check: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/mypy --strict

bench: $(BASE)
	$(BIN)/s2fuzz bench

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +
