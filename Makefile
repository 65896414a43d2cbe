# Sets itself up in .venv. `make demo` or `make test` is all that a fresh machine needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-warn-conflicts -c constraints.txt
WITH_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
# One thread in each: two tests that share the cores are faster than one that has them all.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -q -n 2
FUZZ ?= 300
FUZZ_SEED ?= 1
# GPU=1, and no other value: MXNet for NVIDIA GPUs, with its CUDA libraries, and Horovod with NCCL (docs/clusters.md).
# A .venv is for one of the two.
override GPU := $(filter 1,$(GPU))
EXTRA := $(if $(GPU),cu112,cpu)
MXNET := $(if $(GPU),mxnet-cu112,mxnet)
OTHER := $(if $(GPU),mxnet,mxnet-cu112)
# One stamp a stage, written when the stage is complete.
VENV := .venv/.venv-done
LINT := .venv/.lint-done
BASE := .venv/.base$(if $(GPU),-cu112)-done
HOROVOD := .venv/.horovod-done
FULL := .venv/.full-done
NATIVE := .venv/.native-done
HOROVOD_FAILED := .venv/.horovod-failed
HOROVOD_LOG := .venv/horovod-build.log

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test test-fast soak fuzz lint bench horovod clean
unexport PYTHONPATH PYTHONHOME

ifneq ($(filter-out help clean,$(MAKECMDGOALS)),)
REFUSAL := $(shell .ci/check-python '$(PYTHON)' '$(filter-out file,$(origin PYTHON))')
ifneq ($(REFUSAL),)
$(error $(REFUSAL))
endif
endif

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(BASE) $(NATIVE) $(HOROVOD) $(FULL)  ## make .venv with everything (PYTHON=python3.13: with that Python, 3.9 to 3.13; GPU=1: for NVIDIA GPUs)
	@echo '.venv is ready: $(BIN)/resnest env'

demo: $(BASE) $(NATIVE) $(HOROVOD)  ## train on handwritten digits with two Horovod processes and verify: runs/demo
	@$(WITH_VENV) python scripts/demo.py --out runs/demo

test: setup  ## all tests, two at a time
	@$(WITH_VENV) $(PYTEST) --durations=25

test-fast: setup  ## the tests that take seconds
	@$(WITH_VENV) $(PYTEST) -m 'not slow'

soak: setup  ## the long random tests (SOAK_SEED=N repeats one, SOAK_KILLS=N sets how many kills)
	@$(WITH_VENV) python -m pytest -q -s --soak -m soak

fuzz: setup  ## damaged and hostile input at every door (FUZZ=N cases of each, FUZZ_SEED=N)
	@$(WITH_VENV) OMP_NUM_THREADS=1 python -m tests.fuzz --cases $(FUZZ) --seed $(FUZZ_SEED)

lint: $(LINT)  ## ruff
	@$(BIN)/ruff check .

bench: setup  ## images per second of ResNeSt-50 on this machine
	@$(WITH_VENV) python scripts/gluon/benchmark.py --mode inference training --precision float32 bfloat16 int8

horovod: $(BASE)  ## try again to build Horovod
	@rm -f $(HOROVOD) $(HOROVOD_FAILED)
	@$(MAKE) -s --no-print-directory $(HOROVOD)

clean:  ## remove .venv and what the tools left (runs/ stays)
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV): constraints.txt
	@test -x $(BIN)/python || { echo "making .venv with $$('$(PYTHON)' --version)"; '$(PYTHON)' -m venv .venv; }
	@$(PIP) pip setuptools wheel
	@touch $@

$(LINT): $(VENV)
	@$(PIP) ruff
	@touch $@

# MXNet and gluoncv go in without their dependencies: numpy < 2 has no wheel for Python 3.13, and
# opencv-python needs libGL. setup.py lists what they do need.
$(BASE): $(VENV) setup.py
	@! $(BIN)/python -m pip show -qq $(OTHER) || { echo 'this .venv is for $(if $(GPU),CPUs: ,GPUs: add GPU=1 or )make clean first'; exit 1; }
	@echo 'installing $(MXNET) and the package'
	@$(PIP) --no-build-isolation -e '.[$(EXTRA),demo]'
	@$(PIP) --no-deps $(MXNET)
	@touch $@

$(FULL): $(BASE)
	@echo 'installing what tests, export and transfer need'
	@$(PIP) --no-build-isolation -e '.[$(EXTRA),demo,export,dev]'
	@$(PIP) --no-deps gluoncv
	@touch $@

# Optional too: the C++ operators, into ~/.cache/resnest; a notice where there is no compiler.
$(NATIVE): $(BASE) $(wildcard resnest/gluon/nn/native/*.cc resnest/gluon/nn/native/*.h)
	@if $(BIN)/python -m resnest.building.operators; then touch $@; fi

# Optional: where something is missing (exit code 2), or if the build fails, a notice, and everything else goes on. What
# is missing is looked for again the next time, as after an interruption; a build that failed (exit code 1) is not tried
# again by itself.
$(HOROVOD): | $(BASE)
	@if [ -e $(HOROVOD_FAILED) ]; then \
	    echo 'notice: without Horovod, training in one process only (see $(HOROVOD_LOG)); "make $(if $(GPU),GPU=1 )horovod" tries to build it again'; \
	else \
	    echo 'building Horovod for this mxnet (1 to 3 minutes; log: $(HOROVOD_LOG))'; \
	    PIP_CONSTRAINT=constraints.txt $(BIN)/python -m resnest.building >$(HOROVOD_LOG) 2>&1; code=$$?; \
	    if [ $$code -eq 0 ]; then touch $@; else \
	        [ $$code -ne 1 ] || touch $(HOROVOD_FAILED); \
	        echo "$$(tail -n 1 $(HOROVOD_LOG)) (in $(HOROVOD_LOG))"; \
	        echo 'notice: Horovod is not built; all but multi-process training works'; fi; \
	fi
