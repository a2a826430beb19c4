# SPDX-License-Identifier: GPL-2.0-only
# Everything happens in a virtual environment in the checkout; needs python3 (3.11 or later) with venv.

PYTHON ?= python3
VENV ?= .venv
SEED ?= 1
CANDIDATE ?= rfc-v1
DURATION ?= 30
OUT ?= findings
# Kernel trees to test with, by version; fetched if the folder is not there.
TREES ?= $(HOME)/.cache/s2fuzz/kernels
# What `make bench-bugs` measures: --full for all bugs.
BUGS ?= --deepest 10
# What `make bench-mutants` tries: so many mutants; 100000 is all of them.
MUTANTS ?= 300
# Tests that run at a time.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Made anew whenever what is installed may have changed.
BASE := $(VENV)/.stamp
TEST := $(VENV)/.stamp-test
BUILD := $(VENV)/.stamp-build

# Hundreds of processes are started by the tests: without bytecode that is kept, a start takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv build compiled fuzz test test-trees check hardware real bench bench-bugs bench-mutants clean

help:
	@echo "make fuzz    fuzz $(CANDIDATE) for $(DURATION) s (SEED=, CANDIDATE=, DURATION=, OUT=)"
	@echo "make test    run the tests that need neither kernel trees nor real kernels"
	@echo "make test-trees  run those that need kernel trees (TREES=; some 180 MB are unpacked there)"
	@echo "make check   ruff (mistakes, layout) and mypy --strict"
	@echo "make hardware  ask QEMU whether the machine translates as it does"
	@echo "make real    play known bugs on real kernels under QEMU (fetches kernels and packages)"
	@echo "make bench   measure speed and memory, and how soon engines find planted bugs"
	@echo "make bench-bugs  measure it for the deepest bugs (BUGS=--full: all), and go on with what docs/bug-bank.json has"
	@echo "make bench-mutants  try small changes of the original (MUTANTS=), and go on with docs/mutation-score.jsonl"
	@echo "make build   compile the hot modules, for speed (test, bench and hardware try it too)"
	@echo "make venv    only install, into $(VENV)"
	@echo "make clean   remove $(VENV) and caches; findings stay"

$(BASE): setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --editable '.[atheris]' || \
	{ echo "This goes on without the package atheris, and without the engine of that name."; $(PIP) install --editable .; }
	@touch $@

$(TEST): $(BASE)
	$(PIP) install --editable '.[test]'
	@touch $@

$(BUILD): $(BASE)
	$(PIP) install --editable '.[build]'
	@touch $@

venv: $(BASE)

build: $(BUILD)
	$(BIN)/s2fuzz build

# As build, where it can be done. Where not, `s2fuzz build` says why, and everything runs as plain Python.
compiled: $(BASE)
	@if command -v $${CC:-cc} >/dev/null; then $(MAKE) --silent $(BUILD) >/dev/null 2>&1; fi; \
	$(BIN)/s2fuzz build || true

# 0 and 1 are both results: only bad usage (2) and mistakes of s2fuzz (3) fail.
# Nothing is compiled first: the session runs in the form that is there.
fuzz: $(BASE)
	@status=0; \
	$(BIN)/s2fuzz fuzz --candidate $(CANDIDATE) --seconds $(DURATION) --seed $(SEED) --out $(OUT) || status=$$?; \
	case $$status in \
	0) echo "$(CANDIDATE) showed no regression and no divergence.";; \
	1) echo "$(CANDIDATE) is worse than the original, or differs: see the regressions and divergences above."; \
	   echo "To see why: $(BIN)/s2fuzz run --candidate $(CANDIDATE) --trace FILE";; \
	*) exit $$status;; \
	esac

# Everything as plain Python; then, where it compiles, what holds the compiled code to the same results.
# What judges thousands of programs is run in that second part alone, in whichever form there is: verdicts are the same.
# The tests of a file share what they made, and run one after the other, those that take longest first (tests/conftest.py).
MANY := $(addprefix tests/unit/engines/test_,atheris.py engine.py hypothesis_engine.py supervisor.py) \
	tests/quality/test_finds.py tests/quality/test_state_machine.py \
	tests/unit/features/test_features.py tests/unit/generation/test_generator_pairs.py
# Of those that are run in the second part anyway.
ONCE := $(addprefix tests/good_bad/test_practice_,excuses.py flush.py judge.py) tests/unit/compilation/test_native.py
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
test: $(TEST) compiled
	S2FUZZ_PURE=1 $(PYTEST) $(MANY:%=--ignore=%) $(ONCE:%=--ignore=%)
	$(PYTEST) $(MANY) tests/golden tests/good_bad tests/corpus tests/hardware tests/unit/compilation/test_native.py

test-trees: $(TEST)
	test -d $(TREES) || .ci/trees $(TREES)
	S2FUZZ_PURE=1 S2FUZZ_TREES=$(TREES) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/tree

check: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

hardware: compiled
	$(BIN)/s2fuzz hardware check --out $(OUT)

# Kernels and tools that are missing are fetched first; tests/real needs them. Exit code 1 of `run`: the bugs are shown.
KERNELS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/s2fuzz/real/kernels
KNOWN := $(addprefix corpus/regressions/,livelock-two-levels.s2 m1-cache-empty.s2 t2-tags-permission-fault.s2 f1-far-outside.s2)
CHECK ?= --seconds 60
real: $(TEST)
	.ci/real-tools
	.ci/real-kernels $(KERNELS)
	S2FUZZ_PURE=1 S2FUZZ_TREES=$(TREES) $(BIN)/python -m pytest tests/real
	for kernel in $$(ls $(KERNELS)); do \
	$(BIN)/s2fuzz real run $(KNOWN) --kernel $$kernel || test $$? = 1 || exit; \
	done
	$(BIN)/s2fuzz real check $(CHECK) --seed $(SEED) --out $(OUT)

bench: $(TEST) compiled
	$(BIN)/s2fuzz bench
	$(BIN)/s2fuzz bench --find

bench-bugs: $(TEST) compiled
	$(BIN)/s2fuzz bench --find $(BUGS) --trials docs/bug-bank.json --markdown docs/bug-bank.md

bench-mutants: $(BASE) compiled
	$(PIP) install --editable '.[mutation]'
	$(BIN)/s2fuzz bench --mutants $(MUTANTS) --trials docs/mutation-score.jsonl --markdown docs/mutation-score.md

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +
