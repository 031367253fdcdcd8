# make demo: the whole road on synthetic faces. make test: all tests. Both install into .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install demo test test-fast fuzz lint clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/edgeface demo --out demo

test: install
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations 25 --durations-min 10

test-fast: install
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not slow'

# Hostile files and kill -9 from a fixed seed; about an hour on 2 cores, most of it in the kills.
fuzz: install
	$(BIN)/python -m tests.fuzz --json fuzz.json

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf demo build dist *.egg-info fuzz.json .hypothesis .pytest_cache .mypy_cache .ruff_cache
