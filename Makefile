# Sets itself up in .venv. `make demo` or `make test` is all that a fresh machine needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-warn-conflicts -c constraints.txt
WITH_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
# One thread in each: two tests that share the cores are faster than one that has them all.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -q -n 2
FUZZ ?= 300
FUZZ_SEED ?= 1
# One stamp a stage, written when the stage is complete.
VENV := .venv/.venv-done
LINT := .venv/.lint-done
BASE := .venv/.base-done
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

setup: $(BASE) $(NATIVE) $(HOROVOD) $(FULL)  ## make .venv with everything (PYTHON=python3.13 make setup: with that Python, 3.9 to 3.13)
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
	@echo 'installing mxnet and the package'
	@$(PIP) --no-build-isolation -e '.[cpu,demo]'
	@$(PIP) --no-deps mxnet
	@touch $@

$(FULL): $(BASE)
	@echo 'installing what tests, export and transfer need'
	@$(PIP) --no-build-isolation -e '.[cpu,demo,export,dev]'
	@$(PIP) --no-deps gluoncv
	@touch $@

# Optional too: the C++ operators, into ~/.cache/resnest; a notice where there is no compiler.
$(NATIVE): $(BASE) $(wildcard resnest/gluon/nn/native/*.cc resnest/gluon/nn/native/*.h)
	@if $(BIN)/python -m resnest.gluon.nn.native; then touch $@; fi

# Optional: without a compiler, or if the build fails, a notice, and everything else goes on.
$(HOROVOD): | $(BASE)
	@if ! command -v $(CXX) >/dev/null; then \
	    echo 'notice: no C++ compiler, so no Horovod and training in one process only: apt-get install g++ make'; \
	elif [ -e $(HOROVOD_FAILED) ]; then \
	    echo 'notice: without Horovod, training in one process only; "make horovod" tries to build it again'; \
	else \
	    echo 'building Horovod for this mxnet (1 to 3 minutes; log: $(HOROVOD_LOG))'; \
	    if $(PIP) cmake cloudpickle psutil pyyaml packaging && $(WITH_VENV) HOROVOD_WITH_MXNET=1 \
	        HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_TENSORFLOW=1 HOROVOD_WITH_GLOO=1 HOROVOD_WITHOUT_MPI=1 \
	        MAKEFLAGS=-j$$(nproc) python -m pip install -v --no-build-isolation --no-cache-dir --force-reinstall \
	        --no-deps -c constraints.txt horovod >$(HOROVOD_LOG) 2>&1 \
	        && $(BIN)/python -c 'import horovod.mxnet' >>$(HOROVOD_LOG) 2>&1; \
	    then touch $@; \
	    else touch $(HOROVOD_FAILED); \
	        echo 'notice: building Horovod failed, see $(HOROVOD_LOG); all but multi-process training works'; fi; \
	fi
