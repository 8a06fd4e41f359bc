# Everything runs inside .venv, which `setup` makes. Each target makes what it needs, so any of them works in a fresh clone.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.inphase-installed
TORCH  := torch==2.13.0
EXTRAS ?= cpu,embedded,worker,training,demo,test,dev

# options of `make demo` and `make test`
FILE ?=
SEED ?= 7
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test lint locks clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv and install everything into it (fast the second time)

# torch comes first and pinned, so that no other package's range chooses a build for us
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "inphase needs Python 3.11 or newer, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): a few minutes the first time."
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP) ## simulate a rocking curve, serve, reconstruct over HTTP, show it; FILE=path takes yours, SEED=n another crystal
	@$(BIN)/python examples/demo.py $(if $(FILE),--file '$(FILE)') --seed $(SEED) $(ARGS)

serve: $(STAMP) ## run the service on this machine (ARGS='--port 9000')
	@$(BIN)/inphase serve $(ARGS)

# a process for each core, and one thread in each; `--dist worksteal` keeps the tests of a file, and what they share,
# together until a process runs out of work
test: $(STAMP) ## run all tests (ARGS='-k formats' for some, ARGS='-n 0' in one process)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 8 --dist worksteal $(ARGS)

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# uv resolves for every platform at once; what torch brings for CUDA is left out of the worker that has none
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --upgrade --no-annotate \
       --custom-compile-command 'make locks' --output-file

locks: $(STAMP) ## pin anew what the images install (deploy/locks)
	$(BIN)/python -m pip install --quiet uv
	rm -f deploy/locks/*.txt
	echo 'setuptools>=77' | $(subst pyproject.toml,-,$(LOCK)) deploy/locks/build.txt
	$(LOCK) deploy/locks/api.txt --extra cpu
	$(LOCK) deploy/locks/api-gpu.txt --extra gpu
	$(LOCK) deploy/locks/worker-gpu.txt --extra worker
	grep --invert-match --extended-regexp '^(cuda|nvidia|triton)' deploy/locks/worker-gpu.txt > deploy/locks/worker.txt

clean: ## remove .venv and everything generated
	rm -rf $(VENV) demo-out build *.egg-info .pytest_cache .mypy_cache .ruff_cache
