.DEFAULT_GOAL := help
SHELL := /bin/sh
TOWPATH := .venv/bin/towpath
PYTEST := .venv/bin/python -m pytest
SHARED := -n 3 --dist loadfile --no-loadscope-reorder
# hundreds of processes start in a test run, and one that may keep no compiled modules compiles all of ours again
unexport PYTHONDONTWRITEBYTECODE

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## make .venv from the locks (every target does it)
	@infra/setup

run: setup ## data to served champion: servers up, run breast_cancer, serve it, ask it one question
	@$(TOWPATH) up
	@$(TOWPATH) run breast_cancer
	@$(TOWPATH) serve breast_cancer --detach
	@$(TOWPATH) ask breast_cancer
	@$(TOWPATH) status
	@echo "Everything stays up; stop it with: make down"

repro: setup ## the reproducible stages alone, by DVC
	@.venv/bin/dvc repro

tfx: setup ## install what kind tfx needs, in an environment of its own (about 3.6 GB), or repair it
	@.venv/bin/python infra/environments.py tfx

up: setup ## start the local MLflow and Prefect servers
	@$(TOWPATH) up

down: setup ## stop what `make run` and `make up` started
	@$(TOWPATH) down

stack: setup ## start real servers on this machine: PostgreSQL, S3 stand-in, MLflow, Prefect, worker, gateways, Prometheus
	@$(TOWPATH) stack up

stack-down: setup ## stop them and delete what they hold; KEEP=1 keeps it for the next `make stack`
	@$(TOWPATH) stack down $(if $(KEEP),--keep)

restore-drill: setup ## rehearse it in a copy of the project: back the stack up, wreck it, restore it, compare
	@infra/test-tools
	@$(PYTEST) -ra tests/e2e/test_stack.py -k restored

demo-release: setup ## a release story: a good version reaches production, three broken ones do not, one is undone
	@.venv/bin/python -m pipelines.demo

test: setup ## every test; what a machine lacks is skipped with its reason
	@infra/test-tools
	@$(PYTEST) $(SHARED) -ra -m "not alone"
	@$(PYTEST) -ra -m alone

test-quick: setup ## the tests that start no server and train no network
	@$(PYTEST) $(SHARED) -m "not slow and not alone"

faults: setup ## the fault tests at full volume (the test run has them at a reduced one)
	@infra/test-tools
	@TOWPATH_FULL=1 $(PYTEST) $(SHARED) -ra tests/faults tests/integration tests/contract tests/unit/release tests/unit/serving \
		tests/e2e/test_stack.py tests/e2e/test_tables.py

check: setup ## ruff, mypy strict, import-linter, lock freshness
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@.venv/bin/python infra/lock.py --check

bench: setup ## measure the figures that the documentation states
	@.venv/bin/python -m bench

lock: setup ## renew the locks from pyproject.toml; keeps what fits, UPGRADE=1 takes the newest
	@.venv/bin/python infra/lock.py $(if $(UPGRADE),--upgrade)

pin-images: ## pin the images of compose.yaml and the Dockerfiles to digests (needs docker)
	@.venv/bin/python infra/docker/pin_images.py

doctor: ## say what is missing or off, a sentence each
	@for p in .venv/bin/python python3.11 python3.12 python3.13 python3; do $$p -c '' 2>/dev/null && exec $$p infra/doctor.py; done; echo "no python3 on the path; install Python 3.11, 3.12 or 3.13"; exit 1

clean: ## delete what can be made again, but not .venv, the ledger or the runs
	@rm -rf out reports data/*/dataset .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.PHONY: help setup run repro tfx up down stack stack-down restore-drill demo-release test test-quick faults check bench lock pin-images doctor clean
