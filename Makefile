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
KEEP ?=
ARGS ?=

# The built page lies in the repository: only who changes page/ needs node and npm, and without them its tests skip.
NPM      := $(shell command -v npm)
PACKAGES := $(if $(NPM),page/node_modules/.package-lock.json)

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test lint page browser prometheus bluesky openapi screenshots locks images clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

demo: $(STAMP) ## simulate a rocking curve, serve, reconstruct over HTTP, show it; FILE=path takes yours, SEED=n another crystal, KEEP=1 leaves the page up
	@$(BIN)/python examples/demo.py $(if $(FILE),--file '$(FILE)') --seed $(SEED) $(if $(KEEP),--keep) $(ARGS)

serve: $(STAMP) ## run the service on this machine (ARGS='--port 9000')
	@$(BIN)/inphase serve $(ARGS)

# a process for each core, and one thread in each; `--dist worksteal` keeps the tests of a file, and what they share,
# together until a process runs out of work
test: $(STAMP) $(PACKAGES) ## run all tests (ARGS='-k formats' for some, ARGS='-n 0' in one process)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 8 --dist worksteal $(ARGS)

lint: $(STAMP) $(PACKAGES) ## ruff and mypy; the types of the page where there is npm
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@test ! -d page/node_modules || { cd page && $(NPM) run --silent check; }

page/node_modules/.package-lock.json: page/package-lock.json
	@cd page && $(NPM) ci --silent --ignore-scripts && touch node_modules/.package-lock.json || \
	  echo "The page's packages could not be installed: its bundle and its accessibility will not be checked."

page: $(STAMP) $(PACKAGES) ## build the page anew from page/ (needs node and npm)
	@test -n '$(NPM)' || { echo "The page is built with node and npm, which this machine does not have."; exit 1; }
	$(BIN)/python -m service.pictures.colours > page/src/colours.json
	cd page && $(NPM) run --silent build

browser: ## install Debian's Chromium, in which the page is tested, where there is none and root may
	@for name in chromium chromium-browser google-chrome; do command -v $$name > /dev/null && exit 0; done; \
	  { test "$$(id -u)" = 0 && apt-get -qq update && \
	    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium fonts-dejavu-core; } > /dev/null 2>&1 || \
	  echo "There is no Chromium, and none could be installed: the page will not be tested in a browser."

prometheus: ## install Debian's Prometheus, in which the rules and dashboards are tried, where there is none and root may
	@command -v prometheus promtool > /dev/null && exit 0; \
	  { test "$$(id -u)" = 0 && apt-get -qq update && \
	    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends prometheus; } > /dev/null 2>&1 || \
	  echo "There is no Prometheus, and none could be installed: rules and dashboards will not be evaluated."

# Tiled 0.2 wants older packages than the service, and several hundred megabytes: it has an environment of its own
bluesky: ## make .bluesky, an environment with bluesky and Tiled, in which the callback for a RunEngine is tried
	@test -x .bluesky/bin/python || $(PYTHON) -m venv .bluesky
	.bluesky/bin/python -m pip install --quiet './client[bluesky]' 'bluesky>=1.15' 'bluesky-tiled-plugins>=2.0' \
	  'tiled[server]>=0.2,<0.3' h5py

openapi: $(STAMP) ## write docs/reference/openapi.json anew
	$(BIN)/python -m service.openapi > docs/reference/openapi.json

screenshots: $(STAMP) browser ## take the pictures of the page in docs/images anew
	INPHASE_SCREENSHOTS=docs/images/page $(BIN)/python -m pytest -q tests/page -k screenshots

# uv resolves for every platform at once; what torch brings for CUDA is left out of the worker that has none
LOCK = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --upgrade --no-annotate \
       --custom-compile-command 'make locks' --output-file

locks: $(STAMP) ## pin anew what the images install (deploy/locks)
	$(BIN)/python -m pip install --quiet uv
	rm -f deploy/locks/*.txt
	echo 'setuptools>=77' | $(subst pyproject.toml,-,$(LOCK)) deploy/locks/build.txt
	$(LOCK) deploy/locks/api.txt --extra cpu --extra tracing
	$(LOCK) deploy/locks/api-gpu.txt --extra gpu --extra tracing
	$(LOCK) deploy/locks/worker-gpu.txt --extra worker --extra tracing
	grep --invert-match --extended-regexp '^(cuda|nvidia|triton)' deploy/locks/worker-gpu.txt > deploy/locks/worker.txt

images: $(STAMP) ## estimate how large the images are, from the wheels that are pinned
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m benchmarks.images

clean: ## remove .venv and everything generated
	rm -rf $(VENV) .bluesky demo-out build *.egg-info .pytest_cache .mypy_cache .ruff_cache page/node_modules
