# A newcomer needs Python 3.11-3.13 and make; everything else is installed into .venv. Plain `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help install demo up setup test chaos lint format bench lock docs reference sbom audit clean

PORT ?= 8080
KEEP ?=
SEED ?=
SEEDS ?=
ARGS ?=
# How many processes share the tests: those of Airflow mostly wait, so one more than there are cores.
WORKERS ?= 3
# Airflow is a dozen processes: where compiled modules are not kept, each compiles everything it imports anew.
export PYTHONDONTWRITEBYTECODE :=
BIN := .venv/bin
CHECKED := plugins/pd_sf_rules plugins/pd_sf_rules_plugin.py embedded sandbox demo dags scripts tests benchmarks

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: ## make .venv and install what is missing
	@python="$$(sh scripts/find_python.sh)" && "$$python" scripts/install.py

demo: install ## the whole story against simulated Salesforce and PagerDuty (KEEP=1 leaves it running)
	@$(BIN)/python -m demo $(if $(KEEP),--keep) $(ARGS)

up: install ## embedded Airflow against the connections in the environment or .env (PORT=8080)
	@exec $(BIN)/python -m embedded --port "$(PORT)" $(ARGS)

setup: install ## ask for both connections and write .env (overwrites nothing, shows no secret)
	@exec $(BIN)/pdsf setup env

test: install ## the whole test suite (ARGS="tests/unit -k name" for a part, WORKERS=0 in one process)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(ARGS)

lint: install ## style, types and the direction of imports
	@present=""; failed=""; \
	for path in $(CHECKED); do test -z "$$(find $$path -name '*.py' 2>/dev/null | head -1)" || present="$$present $$path"; done; \
	check() { echo "$$*" | cut -c1-100; "$$@" || failed=yes; }; \
	check $(BIN)/ruff check .; \
	check $(BIN)/ruff format --check .; \
	check $(BIN)/mypy $$present; \
	check $(BIN)/lint-imports --no-logo; \
	test -z "$$failed"

format: install ## let ruff put the code in order
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

chaos: install ## random people, faults and kills (SEED=n replays one, SEEDS=n plays that many)
	@$(if $(SEED),PDSF_CHAOS_SEED="$(SEED)") $(if $(SEEDS),PDSF_CHAOS_SEEDS="$(SEEDS)") $(BIN)/python -m pytest tests/chaos $(if $(SEED),-k happens_twice,-n 2 --dist loadgroup) $(ARGS)

bench: install ## the benchmarks, as a table
	@$(BIN)/python -m pip install --quiet --requirement requirements-bench.txt || echo "some engines could not be installed"
	@$(BIN)/python -m benchmarks $(ARGS)

lock: install ## resolve requirements*.txt into the lock files, keeping what need not move
	@set -e; compile="$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command 'make lock'"; \
	eval "$$compile requirements.txt requirements-dev.txt --output-file requirements.lock $(ARGS)"; \
	eval "$$compile requirements.txt --constraints requirements.lock --output-file requirements-prod.lock"

docs: install ## the documentation site, built strictly into .run/site (an environment of its own)
	@test -x .run/docs/bin/python || $(BIN)/python -m venv .run/docs
	@.run/docs/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-docs.txt
	@NO_MKDOCS_2_WARNING=1 .run/docs/bin/mkdocs build --strict --quiet $(ARGS)
	@echo ".run/site/index.html"

reference: install ## write docs/reference from the code
	@$(BIN)/python scripts/reference.py

sbom: ## what a deployment installs, as CycloneDX JSON in sbom.cdx.json
	@python="$$(sh scripts/find_python.sh)" && "$$python" scripts/sbom.py requirements-prod.lock > sbom.cdx.json && echo "sbom.cdx.json is written"

audit: install ## known weaknesses of what the lock pins (fails where no vulnerability database can be asked)
	@$(BIN)/uv tool run --quiet pip-audit==2.10.0 --requirement requirements-prod.lock --disable-pip --require-hashes --strict $(ARGS)

clean: ## remove .venv, .run and every cache
	@rm -rf .venv .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
