# Two commands on a fresh machine: `make demo` runs the whole job, `make test` proves it. Each sets up its own .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
# Where torch comes from; empty: your pip's usual index, whose build for Linux is the one with CUDA (gigabytes). A CPU is
# enough for both commands, and its build is much smaller: make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

.PHONY: demo test test-overfit test-slow lint clean

demo: $(VENV)/.ready
	$(BIN)/animate-x demo --out output/demo

test: $(VENV)/.ready lint
	$(BIN)/python -m pytest -n 2

# Training from end to end: three clips are prepared, learned by heart, exported and animated. Five minutes of one core.
test-overfit: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow tests/training/test_chain.py

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e ".[offline,pose,dev]"
	touch $@

clean:
	rm -rf $(VENV) output build *.egg-info
