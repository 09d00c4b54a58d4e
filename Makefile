# Greensweep: `make` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup sweep report doctor ui test test-all test-integrations test-cluster bench lint lock repro docs clean

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(INSTALLED) ## install everything into .venv

$(INSTALLED): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

sweep: $(INSTALLED) ## search for accuracy and energy together, and say what to take (ARGS="option=value ...")
	$(BIN)/python src/train.py -m hydra/sweeper=greensweep objective=pareto $(ARGS)

report: $(INSTALLED) ## write a page about the tracked runs, outputs/report/index.html
	$(BIN)/python src/report.py $(ARGS)

doctor: $(INSTALLED) ## tell how far this machine's joules can be trusted
	$(BIN)/python -m greensweep doctor $(ARGS)

ui: $(INSTALLED) ## compare the runs in the MLflow UI, on 127.0.0.1:5000
	@case "$$MLFLOW_TRACKING_URI" in http*) \
		echo "The runs are on the server of MLFLOW_TRACKING_URI: open its address."; exit 1;; esac; \
	MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --host 127.0.0.1 --port 5000 \
		--backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlruns/mlflow.db}" \
		--default-artifact-root mlruns/artifacts

# Tests start hundreds of commands: without bytecode each would compile the same modules anew.
test test-all test-integrations test-cluster: export PYTHONDONTWRITEBYTECODE =

test: $(INSTALLED) ## run the fast tests
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 $(ARGS)

test-all: $(INSTALLED) ## run the slow tests too
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 -m "slow or not slow" $(ARGS)

test-integrations: $(INSTALLED) ## run the tests of callbacks, with the libraries that they are for
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[integrations]'
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 -m "slow or not slow" tests/loops $(ARGS)

test-cluster: $(INSTALLED) ## run the tests with a real Slurm, Ray and servers, each started here
	$(BIN)/python -m pytest -q -n 0 -m cluster $(ARGS)

bench: $(INSTALLED) ## measure throughput, overhead and memory, as ratios
	$(BIN)/python benchmarks/run.py $(ARGS)

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(INSTALLED) ## resolve requirements.lock anew from pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url \
		--no-annotate --no-header --constraint requirements.constraints --extra dev \
		pyproject.toml --output-file requirements.lock
	sed -i '1i # All dependencies, pinned for every platform and Python >= 3.11. Made from pyproject.toml by `make lock`.' requirements.lock

repro: $(INSTALLED) ## run the pipeline of dvc.yaml (size=smoke|small|paper, variant=corrected|faithful)
	$(BIN)/python -m greensweep study \
		$(if $(size),--size $(size)) $(if $(variant),--variant $(variant))
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro $(ARGS)

docs: $(INSTALLED) ## build the documentation into site/, strictly; .venv/bin/mkdocs serve shows it on 127.0.0.1:8000
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove outputs and caches; keeps .venv, data, mlruns
	rm -rf outputs/*/* multirun site build .mypy_cache .ruff_cache .pytest_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	test ! -d outputs || find outputs -mindepth 1 -type d -empty -delete
