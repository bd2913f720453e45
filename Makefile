# `make demo` and `make test` are all a newcomer needs; each installs what it uses.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
IMAGE ?=
OUTPUT ?= results/demo

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all check format bundle bench clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## Install the pinned environment into .venv (about two minutes).

# sam2 is a source distribution whose isolated build would install another torch: hence its own step (docs/install.md).
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "requirements.lock is for CPython 3.11; call make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.lock
	SAM2_BUILD_CUDA=0 $(BIN)/pip install --quiet --no-deps --no-build-isolation sam2==1.1.0
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: install  ## Segment a real colon section (or IMAGE=file) into results/demo.
	$(BIN)/coseg demo --output $(OUTPUT) $(if $(IMAGE),--image $(IMAGE))

test: install  ## Run the test suite (the slow tests aside).
	@test -d tests || { echo "the tests are in the repository, not in the released archive"; exit 1; }
	$(BIN)/python -m pytest -m "not slow"

test-all: install  ## Run every test.
	$(BIN)/python -m pytest

check: install  ## Format, lint, types, tests: before every commit.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow"

format: install  ## Format the code and mend what the linter can.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bundle: install  ## Build the archive that monai.bundle.download fetches, into dist/.
	$(BIN)/coseg release-check
	$(BIN)/python scripts/build_bundle.py

bench: install  ## Measure speed against MONAI's own parts (a table of ratios).
	$(BIN)/python scripts/bench.py

clean:  ## Remove the environment and every result.
	rm -rf $(VENV) results runs build dist *.egg-info
