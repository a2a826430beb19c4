# SPDX-License-Identifier: GPL-2.0-only
# Everything is installed into a virtual environment in the checkout; this needs python3 (3.11 or later) with venv.

PYTHON ?= python3
VENV ?= .venv
SEED ?= 1
CANDIDATE ?= rfc-v1
DURATION ?= 30
OUT ?= findings
# Folder of kernel trees for the tests, one sub-folder per version; fetched if it does not exist.
TREES ?= $(HOME)/.cache/s2fuzz/kernels
# The bugs that `make bench-bugs` measures; --full: all of them.
BUGS ?= --deepest 10
# The number of mutants that `make bench-mutants` tries; 100000 is more than there are.
MUTANTS ?= 300
# The number of tests that run in parallel.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Touched after each installation, so that a changed requirement installs again.
BASE := $(VENV)/.stamp
TEST := $(VENV)/.stamp-test
BUILD := $(VENV)/.stamp-build

# The tests start hundreds of processes. Without cached bytecode, each start would take twice as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv build compiled fuzz test test-trees check hardware real bench bench-bugs bench-mutants clean

help:
	@echo "make fuzz    fuzz $(CANDIDATE) for $(DURATION) s (SEED=, CANDIDATE=, DURATION=, OUT=)"
	@echo "make test    run the tests that need neither kernel trees nor real kernels"
	@echo "make test-trees  run the tests that need kernel trees (TREES=; unpacks about 180 MB there)"
	@echo "make check   ruff (mistakes, layout) and mypy --strict"
	@echo "make hardware  compare the machine's translations with QEMU's"
	@echo "make real    play known bugs on real kernels under QEMU (fetches kernels and packages)"
	@echo "make bench   measure speed and memory, and how soon engines find planted bugs"
	@echo "make bench-bugs  measure that for the deepest bugs (BUGS=--full: all); continues docs/bug-bank.json"
	@echo "make bench-mutants  try small changes of the original (MUTANTS=); continues docs/mutation-score.jsonl"
	@echo "make build   compile the hot modules, for speed (test, bench and hardware do it too, if possible)"
	@echo "make venv    only install, into $(VENV)"
	@echo "make clean   remove $(VENV) and caches; findings stay"

$(BASE): setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --editable '.[atheris]' || \
	{ echo "The package atheris cannot be installed: continuing without it and its engine."; $(PIP) install --editable .; }
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

# Build if there is a C compiler and the packages can be installed. Otherwise everything runs as plain Python, or, with
# STRICT=1, this fails.
compiled: $(BASE)
	@if command -v $${CC:-cc} >/dev/null && $(MAKE) --silent $(BUILD) >/dev/null 2>&1; then $(BIN)/s2fuzz build; \
	else echo "Not compiled: no C compiler, or the packages of [build] cannot be installed." >&2; test -z "$(STRICT)"; fi

# Exit codes 0 and 1 are both results; bad usage (2) and mistakes of s2fuzz (3) are failures.
# This does not compile first: the session runs in the existing form.
fuzz: $(BASE)
	@status=0; \
	$(BIN)/s2fuzz fuzz --candidate $(CANDIDATE) --seconds $(DURATION) --seed $(SEED) --out $(OUT) || status=$$?; \
	case $$status in \
	0) echo "$(CANDIDATE) showed no regression and no divergence.";; \
	1) echo "$(CANDIDATE) is worse than the original, or differs: see the regressions and divergences above."; \
	   echo "To see why: $(BIN)/s2fuzz run --candidate $(CANDIDATE) --trace FILE";; \
	*) exit $$status;; \
	esac

# The first part runs as plain Python. The second part runs in compiled form, if there is one: the tests that check the
# results of compiled code and its errors, and the tests that judge thousands of programs. One process runs all tests of
# a file, because they share fixtures; the files that take longest come first (tests/conftest.py).
MANY := $(addprefix tests/unit/engines/test_,atheris.py engine.py hypothesis_engine.py supervisor.py) \
	$(addprefix tests/unit/engines/test_session_,files.py replays.py) \
	tests/quality/test_finds.py tests/quality/test_state_machine.py \
	tests/unit/features/test_features.py tests/unit/generation/test_generator_pairs.py
# Tests in the folders of the second part that need not run twice.
ONCE := $(addprefix tests/good_bad/test_practice_,excuses.py flush.py judge.py) tests/unit/compilation/test_native.py
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
test: $(TEST) compiled
	S2FUZZ_PURE=1 $(PYTEST) $(MANY:%=--ignore=%) $(ONCE:%=--ignore=%)
	$(PYTEST) $(MANY) tests/golden tests/good_bad tests/corpus tests/hardware tests/unit/language \
		tests/unit/compilation/test_native.py

test-trees: $(TEST)
	test -d $(TREES) || .ci/trees $(TREES)
	S2FUZZ_PURE=1 S2FUZZ_TREES=$(TREES) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile tests/tree

check: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

hardware: compiled
	$(BIN)/s2fuzz hardware check --out $(OUT)

# Missing kernels and tools are fetched first. Exit code 1 of `run` is the expected result: the kernels have these bugs.
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
