# Two commands on a fresh machine: `make demo` runs the whole job, `make test` proves it. Each sets up its own .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The CPU build is enough for both; give TORCH=torch for the build that fits your GPU.
TORCH ?= torch==2.13.0

.PHONY: demo test test-slow lint clean

demo: $(VENV)/.ready
	$(BIN)/animate-x demo --out output/demo

test: $(VENV)/.ready lint
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e ".[offline,pose,dev]"
	touch $@

clean:
	rm -rf $(VENV) output build *.egg-info
