PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Each job has one thread for linear algebra: on two cores, two jobs of two threads wait for each other.
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help venv demo test slow lint clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

venv: $(INSTALLED) ## the package and its tools, in an environment of their own

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

demo: venv ## solve the exam's equation
	$(BIN)/python scripts/train.py exam_ode

test: venv ## tests and docstring examples, without the slow ones
	$(PYTEST) -m "not slow"

slow: venv ## the slow tests
	$(PYTEST) -m slow

lint: venv ## style, formatting, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python

clean: ## remove the environment and everything that tools left behind
	rm -rf $(VENV) dist runs .pytest_cache .ruff_cache .hypothesis
	find pinn problems scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
