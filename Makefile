# Two commands do everything: `make devnet` and `make test`. Both create the environment first if need be.
# The first interpreter that runs and is new enough; name another with `make env PYTHON=…`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
WORKERS ?= 2
SEED ?= 1
SECONDS ?= 300
MINUTES ?= 30
# Options of tests/network/run_simulation.py: one of four nodes and three of twelve validators are byzantine.
SIM ?= --byzantine-nodes 1 --byzantine-validators 3 --fault-every-s 1.5
INPUTS ?= 100000
CUTS ?= 2000

.PHONY: env devnet test check bench fuzz sim soak powercut interop clean

env: .venv/.ready

# --no-deps: the lock is complete, and libp2p's exact pin of fastecdsa has no wheel (see CONTRIBUTING.md).
# trio-stubs, which trio-typing brings, hide trio's own types from mypy.
.venv/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 found: install one, or name it: make env PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	rm -rf .venv/lib/python3.*/site-packages/trio-stubs
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

devnet: env
	$(BIN)/nexus devnet up

# js-libp2p for tests/interop. Where npm or its registry is absent, that test is skipped and says so.
INTEROP := tests/interop/node_modules/.ready

$(INTEROP): tests/interop/package-lock.json
	cd tests/interop && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

test: env check
	@if command -v npm >/dev/null; then timeout 120 $(MAKE) --no-print-directory $(INTEROP) || echo "js-libp2p could not be installed"; fi
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: env
	$(BIN)/python tests/benchmarks/run.py

fuzz: env
	NEXUS_FUZZ_INPUTS=$(INPUTS) NEXUS_EXCHANGE_STEPS=$$(($(INPUTS) * 5 / 2)) \
		$(BIN)/pytest -n $(WORKERS) --timeout 7200 tests/fuzz tests/properties/test_exchange.py

sim: env
	$(BIN)/python tests/network/run_simulation.py --seed $(SEED) --virtual-seconds $(SECONDS) $(SIM)

soak: env
	$(BIN)/python tests/network/run_simulation.py --seed $(SEED) --minutes $(MINUTES) $(SIM)
	$(BIN)/python tests/network/run_soak.py --seed $(SEED) --minutes $(MINUTES)

powercut: env
	NEXUS_POWER_CUTS=$(CUTS) $(BIN)/pytest --timeout 7200 tests/faults/test_power_cut.py

interop: env $(INTEROP)
	$(BIN)/pytest tests/interop

clean:
	rm -rf tests/interop/node_modules .venv .mypy_cache .ruff_cache .hypothesis .pytest_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
