# make demo | test | test-long | check | install | up. Needs Python 3.11 to 3.13 and make, nothing else.
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$each && break; done)
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
SOURCES := trainer evaluators orchestrator api tests benchmarks examples

.PHONY: demo up test test-long check install
demo: install
	$(BIN)/relearn run examples/digits.json

up: install
	$(BIN)/relearn up

test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not e2e"
	$(BIN)/python -m pytest -m "e2e and not long"

test-long: install
	$(BIN)/python -m pytest -m long

check: install
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml requirements.lock
	@test -n "$(PYTHON)" || { echo "relearn needs Python 3.11 to 3.13: none was found" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	touch $@
