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

PAGE   := src/posewire/web/index.html
# What npm writes last.
NODE   := web/node_modules/.package-lock.json
WEB    := $(wildcard web/*.json web/client/*.json web/client/src/* web/viewer/*.* web/viewer/src/* web/viewer/public/*)

# MediaPipe's last release with models in it is for these; it needs numpy 1, so it has an environment of its own.
MEDIAPIPE_PYTHON ?= $(shell for python in $(PYTHON) python3.12 python3.11; do $$python -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$python && break; done)
MEDIAPIPE_VENV   := .venv-mediapipe

.PHONY: page page-test demo test test-mediapipe check format bench clean

demo: $(STAMP)
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory page || echo "Going on without the page."; fi
	@$(BIN)/posewire demo $(ARGS)

test: $(STAMP)
	@$(BIN)/python -m pytest -n $(WORKERS) $(if $(COVERAGE),--cov --cov-report=term:skip-covered) $(ARGS)

test-mediapipe: $(MEDIAPIPE_VENV)/.installed
	@$(MEDIAPIPE_VENV)/bin/python -m pytest -q tests/unit/sources tests/examples $(ARGS)

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

# What `posewire serve` and `posewire demo` show in a browser. Needs Node; the wheel has it built.
page: $(PAGE)

# Its own tests: types, vectors, sessions against a server in Python; and a real Chromium (scripts/install_browser.sh).
page-test: $(STAMP) $(PAGE)
	@cd web && npm run --silent check && npm run --silent test && npm run --silent test:viewer
	@$(BIN)/python -m pytest tests/browser tests/connect/test_stock_node.py tests/unit/test_page_client.py $(ARGS)
	@echo "Pictures of each state of the page are in $(or $(POSEWIRE_SCREENSHOTS),artifacts/browser)."

$(PAGE): $(WEB) $(NODE)
	@cd web && npm run --silent build
	@touch $@

$(NODE): web/package-lock.json
	@echo "Setting up web/ (once) …"
	@cd web && npm ci --silent --no-audit --no-fund
	@touch $@

$(MEDIAPIPE_VENV)/.installed: pyproject.toml
	@test -n "$(MEDIAPIPE_PYTHON)" || { echo "MediaPipe needs Python 3.11 or 3.12: make MEDIAPIPE_PYTHON=/path/to/it …"; exit 1; }
	@echo "Setting up $(MEDIAPIPE_VENV) (once) …"
	@test -x $(MEDIAPIPE_VENV)/bin/python || $(MEDIAPIPE_PYTHON) -m venv $(MEDIAPIPE_VENV)
	@$(MEDIAPIPE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[cli,speed,test,mediapipe]'
	@touch $@

clean:
	rm -rf $(VENV) $(MEDIAPIPE_VENV) artifacts src/posewire/web web/node_modules web/*/node_modules web/*/dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
