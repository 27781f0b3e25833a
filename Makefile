# Everything a person does with this checkout. `make help` lists it.
SHELL := /bin/sh
PY := .venv/bin/python
FEDCTL := .venv/bin/fedctl
PYTEST := $(PY) -m pytest
LOCK := .venv/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help up down clean check test test-unit test-ops test-integration test-fleet \
        bench-deploy bench-gateway bench-gateway-scale bench-keys bench-ledger game-day game-day-gateway lock lock-engine reference operator dev \
        test-requirements

help: ## List these commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' Makefile

up: operator ## Six machines, provisioned and answering; run again: nothing changes
	@$(FEDCTL) up $(UP_ARGS)

down: operator ## Stop the lab's machines and remove its network (what they hold is kept)
	@$(FEDCTL) lab down

clean: operator ## Remove the lab, its machines' contents, keys and caches, and .venv (asks)
	@$(FEDCTL) lab clean $(CLEAN_ARGS)
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

check: dev ## Format, lint, types, import contracts, unit tests (under a minute)
	@$(PY) -m ruff format --check --quiet . || { echo "run: .venv/bin/ruff format ."; exit 1; }
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-logo
	@$(PYTEST) -q -n 2 -m "not postgres and not programs and not long" tests/unit tests/ops tests/architecture

test: check test-integration test-fleet ## Everything, the fleet tests on the lab included

test-integration: dev test-requirements ## Real PostgreSQL, real TLS servers, long properties
	@$(PY) -m tests.support.installed
	@$(PYTEST) -q -n 2 --dist loadfile -m "postgres or programs or long" tests/ops tests/unit
	@$(PYTEST) -q -n 2 --dist loadfile --no-loadscope-reorder tests/integration --ignore tests/integration/lab
	@$(PYTEST) -q tests/integration/lab

test-fleet: dev test-requirements ## Six machines of the tests' own, provisioned, attacked, rebuilt
	@$(PYTEST) -v --durations 25 tests/fleet

bench-deploy: dev test-requirements ## A no-op apply beside the same state kept by Ansible
	@$(PY) -m tests.bench.deploy

bench-gateway: dev test-requirements ## The gateway beside nginx, a bare relay, LiteLLM and Portkey
	@$(PY) -m tests.support.installed
	@$(PY) -m tests.bench.gateway

bench-gateway-scale: dev test-requirements ## A request's cost with 1 and 100,000 keys, tenants, past requests
	@$(PY) -m tests.bench.gateway_scale

bench-keys: dev test-requirements ## What keys lose to attackers, holders to their keys; the hourly turn
	@nice -n 15 $(PY) -m tests.bench.keys

game-day: dev ## Ten rounds of every fault on the lab that is up, under load; judged, and saved
	@$(PY) -m tests.chaos.game_day --save $(GAME_DAY_ARGS)

game-day-gateway: dev ## Three rounds of every fault of the gateways, under load; judged, and saved
	@$(PY) -m tests.chaos.front.game_day --save $(GAME_DAY_ARGS)

bench-ledger: dev test-requirements ## Durable events/s into signed checkpoints, beside plain INSERTs
	@$(PY) -m tests.bench.ledger

reference: dev ## Rewrite docs/reference from the code
	@$(PY) -m fedctl.reference docs/reference

lock: ## Resolve requirements/*.in again and write the hash-locked *.txt
	@$(LOCK) requirements/dev.in -o requirements/dev.txt
	@for set in operator node uv; do \
	    $(LOCK) requirements/$$set.in -c requirements/dev.txt -o requirements/$$set.txt || exit 1; done
	@$(LOCK) requirements/patroni.in -o requirements/patroni.txt

lock-engine: ## Resolve the inference engines again (finds torch where pip is told to look)
	@for links in "$$FEDERATION_ENGINE_WHEELS" "$$($(PY) -m pip config get global.find-links 2>/dev/null)" "$$PIP_FIND_LINKS"; do \
	    [ -z "$$links" ] || UV_FIND_LINKS=$$links; done; export UV_FIND_LINKS; \
	for engine in cpu cuda; do \
	    $(LOCK) --python-platform x86_64-manylinux_2_36 --override requirements/engine-$$engine-overrides.txt \
	        requirements/engine-$$engine.in -o requirements/engine-$$engine.txt || exit 1; done

operator:
	@requirements/install.sh operator

dev:
	@requirements/install.sh dev

test-requirements: dev
	@$(PY) -m tests.support.requirements
