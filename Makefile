# airflow-sklearn: needs Python 3.11 or newer and make, nothing else. `make` prints what there is.

PYTHON ?= python3
# Airflow 2.11 runs on Python 3.11 and 3.12 only.
PYTHON_AIRFLOW2 ?= $(PYTHON)

SOURCES = airflow_sklearn benchmarks dags demo docs local_cloud tests
UV = .venv/bin/uv
# Bytecode is compiled once here, as pip does: else every process of a machine that keeps none compiles it again.
INSTALL = $(UV) pip install --quiet --compile-bytecode
PYTEST_OPTIONS ?=
# Where it is set, each process of a test compiles the package again: half of what most of them cost.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo airflow cloud test test-quick test-airflow3 test-airflow2 test-worker test-many-containers test-local-cloud test-airflows test-sklearn lint format schemas docs \
	image package lock setup clean distclean

help:  ## what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/ready  ## real flights through a real Airflow: train, backfill three months, print the table
	@.venv/bin/python -m demo.run

airflow: .venv/ready  ## Airflow's UI on the demo's runs
	@.venv/bin/python -m demo.ui

cloud: .venv/ready .venv-ministack/ready  ## a local AWS with real containers, and Airflow's UI with the demo's DAG on it
	@.venv/bin/python -m demo.cloud

# Each process runs whole modules, those that wait most first. Suites with containers run one after the other: each of them
# keeps two cores busy, and tests that wait for a container wait too long beside a second one.
# CONTAINER_SETUP: a command that those with containers wait for; the other suite runs meanwhile.
CONTAINER_SUITES = test-airflow3 test-airflow2 test-many-containers
SUITES = test-worker $(CONTAINER_SUITES)
PYTEST = python -m pytest $(PYTEST_OPTIONS)
SUITE = $(PYTEST) --dist loadfile --no-loadscope-reorder --ran=.ran/$@

test:  ## lint, and all tests: in Airflow 3, or without Airflow; in Airflow 2.11 too what may differ there
	@rm -rf .ran
	@$(MAKE) --no-print-directory --jobs 2 --keep-going --output-sync=target setup containers test-worker lint; first=$$?; \
		$(MAKE) --no-print-directory --keep-going $(CONTAINER_SUITES) && exit $$first
	@.venv/bin/python -m tests.everywhere $(SUITES:%=.ran/%)

test-quick: .venv/ready  ## in about a minute and a half: ruff, and the fast tests of all folders, in Airflow 3
	@.venv/bin/ruff check --quiet .
	@.venv/bin/$(PYTEST) -q --quick -n auto --dist worksteal

.PHONY: containers
containers:
	@$(or $(CONTAINER_SETUP),:)

test-airflow3: containers .venv/ready .venv-ministack/ready  ## the tests that need Airflow, in Airflow 3
	.venv/bin/$(SUITE) --suite airflow3 -n 4

test-airflow2: containers .venv-airflow2/ready .venv-ministack/ready  ## those that may differ there, in Airflow 2.11
	.venv-airflow2/bin/$(SUITE) --suite airflow2 -n 3

test-worker: .venv-worker/ready .venv-ministack/ready  ## all others, where Airflow is not installed
	.venv-worker/bin/$(SUITE) --suite worker -n 2

test-many-containers: containers .venv/ready .venv-ministack/ready  ## fifty containers at once: others would wait for them
	.venv/bin/$(PYTEST) --ran=.ran/$@ --suite many

test-local-cloud: .venv/ready .venv-ministack/ready  ## the local cloud's own tests; CI runs them when it has changed
	.venv/bin/$(PYTEST) local_cloud/tests
	@.ci/local-cloud-digest >.ci/local-cloud.tested

# Both are too slow for every change: before a release, and after a change of floors, airflow_compat.py or models/.

test-airflows: .venv/ready .venv-worker/ready  ## a template of dags/ in each Airflow of requirements/airflows; VERSIONS='3.0.6 3.1.8'
	.venv/bin/python -m tests.airflows $(VERSIONS)

# The newest scikit-learn is test-worker's.
SKLEARNS = $(basename $(notdir $(wildcard requirements/workers/*.txt)))
SKLEARN_TESTS = tests/models tests/worker/data tests/worker/training tests/worker/test_carried.py tests/worker/test_cuts.py

test-sklearn: $(SKLEARNS:%=.venv-workers/%/ready)  ## tests of models and data with the scikit-learns of requirements/workers
	for version in $(SKLEARNS); do echo "$$version" && .venv-workers/$$version/bin/$(PYTEST) -q $(SKLEARN_TESTS) || exit; done

lint: .venv/ready  ## ruff, import-linter and mypy
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports --no-logo
	.venv/bin/mypy

format: .venv/ready  ## mend what ruff can mend
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

schemas: .venv/ready  ## write docs/schemas from airflow_sklearn/contract
	.venv/bin/python -m docs.write_schemas

docs: .venv-docs/ready  ## the documentation's site, into docs/_build; every warning is an error
	@AIRFLOW_HOME=$(CURDIR)/docs/_build/airflow .venv-docs/bin/python -m sphinx -E -W --keep-going -q \
		-d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"

image:  ## the worker's container image, airflow-sklearn-worker:local; PYTHON_IMAGE=... takes another base
	docker build $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) -f images/Dockerfile -t airflow-sklearn-worker:local .

package: .venv/ready  ## dist/: the source distribution, and the wheel; AIRFLOW_SKLEARN_DOCS_URL=... is in their metadata
	$(UV) build --quiet --out-dir dist

setup: .venv/ready .venv-airflow2/ready .venv-worker/ready .venv-ministack/ready  ## the environments of all of the above

clean:  ## forget the demo's data, models and Airflow, and all caches; the environments stay
	rm -rf .demo docs/_build .mypy_cache .pytest_cache .ran .ruff_cache .import_linter_cache build dist *.egg-info
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## the environments go too
	rm -rf .venv .venv-airflow2 .venv-airflows .venv-worker .venv-workers .venv-ministack .venv-benchmarks .venv-docs

# --- Environments: each from a lock file, so that a fresh machine gets the versions that were tested ---

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "airflow-sklearn needs Python 3.11 or newer, $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12" % v[:2])'
	@echo "Setting up .venv (Airflow 3, scikit-learn, tools)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --constraint requirements/airflow3.txt uv

.venv/ready: requirements/airflow3.txt setup.cfg | .venv/bin/uv
	@$(INSTALL) --python .venv/bin/python --requirement requirements/airflow3.txt
	@$(INSTALL) --python .venv/bin/python --no-deps --editable .
	@touch $@

.venv-airflow2/ready: requirements/airflow2.txt setup.cfg | .venv/bin/uv
	@echo "Setting up .venv-airflow2 (Airflow 2.11)"
	@$(UV) venv --quiet --allow-existing --python '$(shell command -v $(PYTHON_AIRFLOW2))' .venv-airflow2
	@$(INSTALL) --python .venv-airflow2/bin/python --requirement requirements/airflow2.txt
	@$(INSTALL) --python .venv-airflow2/bin/python --no-deps --editable .
	@touch $@

# As in a worker image: the lock of the container side, then the package alone. And pytest, and the extra "cli".
.venv-worker/ready: images/requirements.txt setup.cfg | .venv/bin/uv
	@echo "Setting up .venv-worker (no Airflow)"
	@$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-worker
	@$(INSTALL) --python .venv-worker/bin/python --requirement images/requirements.txt
	@$(INSTALL) --python .venv-worker/bin/python --no-deps --editable .
	@$(INSTALL) --python .venv-worker/bin/python --constraint requirements/airflow3.txt pytest pytest-timeout pytest-xdist psutil pyyaml rich typer
	@touch $@

# Older ones, each with the libraries of its time.
.venv-workers/%/ready: requirements/workers/%.txt setup.cfg | .venv/bin/uv
	@echo "Setting up .venv-workers/$* (no Airflow)"
	@$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-workers/$*
	@$(INSTALL) --python .venv-workers/$*/bin/python --requirement $<
	@$(INSTALL) --python .venv-workers/$*/bin/python --no-deps --editable .
	@$(INSTALL) --python .venv-workers/$*/bin/python --constraint requirements/airflow3.txt pytest pytest-timeout pytest-xdist
	@touch $@

# benchmarks.presets compares with packages that nothing else needs.
.venv-benchmarks/ready: requirements/benchmarks.txt setup.cfg | .venv/bin/uv
	@echo "Setting up .venv-benchmarks (skrub, and packages with tables)"
	@$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-benchmarks
	@$(INSTALL) --python .venv-benchmarks/bin/python --requirement $<
	@$(INSTALL) --python .venv-benchmarks/bin/python --no-deps --editable .
	@touch $@

# Airflow is in it, because the reference is made from docstrings.
.venv-docs/ready: requirements/docs.txt setup.cfg | .venv/bin/uv
	@echo "Setting up .venv-docs (Sphinx, Airflow 3)"
	@$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-docs
	@$(INSTALL) --python .venv-docs/bin/python --requirement requirements/docs.txt
	@$(INSTALL) --python .venv-docs/bin/python --no-deps --editable .
	@touch $@

# The local cloud has an environment of its own: it pins its own botocore.
.venv-ministack/ready: requirements/ministack.txt | .venv/bin/uv
	@echo "Setting up .venv-ministack (a local AWS)"
	@$(UV) venv --quiet --allow-existing --python .venv/bin/python .venv-ministack
	@$(INSTALL) --python .venv-ministack/bin/python --requirement requirements/ministack.txt
	@touch $@

# --- Locks: for any Python from 3.11 on; `make lock UPGRADE=--upgrade` takes newer versions ---

UPGRADE ?=
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock" $(UPGRADE)

lock: | .venv/bin/uv  ## resolve the versions of all environments again
	$(COMPILE) setup.cfg --extra worker --extra cli --extra demo --extra dev --constraint requirements/airflow3.in -o requirements/airflow3.txt
	$(COMPILE) setup.cfg --extra worker --extra dev --constraint requirements/airflow2.in -o requirements/airflow2.txt
	$(COMPILE) images/requirements.in --constraint requirements/airflow3.txt -o images/requirements.txt
	$(COMPILE) images/requirements.in requirements/benchmarks.in -o requirements/benchmarks.txt
	$(COMPILE) setup.cfg requirements/docs.in --extra worker --extra cli --constraint requirements/airflow3.txt -o requirements/docs.txt
	$(COMPILE) requirements/ministack.in -o requirements/ministack.txt
	for version in $(basename $(notdir $(wildcard requirements/airflows/*.in))); do \
		$(COMPILE) setup.cfg --extra worker --constraint requirements/airflows/$$version.in \
			-o requirements/airflows/$$version.txt || exit; done
	for version in $(basename $(notdir $(wildcard requirements/workers/*.in))); do \
		$(COMPILE) images/requirements.in --constraint requirements/workers/$$version.in \
			-o requirements/workers/$$version.txt || exit; done
