# Two commands do everything on a fresh machine: `make demo` and `make test`. Both make their own virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test faults lint clean

demo: $(VENV)/installed
	$(BIN)/quarterdeck demo

# Four at once, a file on one: most tests wait for something.
test: $(VENV)/installed lint
	$(BIN)/pytest -n 4 --dist loadfile

# Every fault as often as it takes to trust it, 40 minutes, three at once; `make test` has a sample of it.
faults: $(VENV)/installed
	QUARTERDECK_FAULTS=all $(BIN)/pytest -n 3 --dist worksteal tests/faults tests/vmops/test_faults.py

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
