# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
BENCH  := $(VENV)/.installed-bench
ARGS   ?=
# More than CI has cores: a third of the suite's time is waiting for sockets and processes.
WORKERS ?= 5
# Set, it is measured and has to be over 90 %; that takes half as long again.
COVERAGE ?=

.PHONY: demo test check format bench clean

demo: $(STAMP)
	@$(BIN)/posewire demo $(ARGS)

test: $(STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) $(if $(COVERAGE),--cov --cov-report=term:skip-covered) $(ARGS)

check: $(STAMP) $(BENCH)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(STAMP)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP) $(BENCH)
	@$(BIN)/python -m benchmarks $(ARGS)

# The stamp is written last: an interrupted installation starts again the next time.
$(STAMP): pyproject.toml hatch_build.py $(wildcard src/posewire/protocol/_speedups*.[ch])
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "posewire needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	@echo "Setting up $(VENV) (once) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli,speed,test,lint]'
	@touch $(STAMP)

# What only the benchmarks need, and the check of their types: a demo does not wait for matplotlib.
$(BENCH): $(STAMP)
	@echo "Adding what the benchmarks need (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $(BENCH)

clean:
	rm -rf $(VENV) .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
