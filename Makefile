# Two commands and their parts. Each one echoes the plain commands that it runs; the README explains them.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
SOURCES := workflow_scripts tests
# Two processes, and the tests of one file in one of them: they share what they prepare.
PYTEST := pytest --numprocesses 2 --dist loadfile

.PHONY: pocket why test test-fast rehearsal bench-gpu check types style lock clean

pocket: .venv/ready ## run the default recipe and show its table of results
	snakemake --cores all
	python workflow_scripts/print_summary.py results/summary/pocket.json
	@echo "The page: results/report/pocket.html"

why: .venv/ready ## say which jobs of the default recipe would run, why, and what they cost
	python workflow_scripts/why.py

test: .venv/ready-dev check ## run all tests
	$(PYTEST)

test-fast: .venv/ready-dev check ## run the tests that take seconds: for each change
	$(PYTEST) -m "not slow"

rehearsal: .venv/ready-dev ## run all recipes in tiny sizes against a stand-in of the internet, slam killed on the way
	PYTHONPATH=workflow_scripts:tests python -m stand_in results/stand_in
	PYTHONPATH=workflow_scripts:tests python -m stand_in results/stand_in/zero recipes/twist_350m.yaml --set-resources train:zero_stage=2
	PYTHONPATH=workflow_scripts:tests python -m stand_in results/stand_in/offload recipes/slam_large.yaml --set-resources train:offload=1
	PYTHONPATH=workflow_scripts:tests python -m stand_in results/stand_in/killed recipes/slam.yaml --kill stream_audio extract_units train

bench-gpu: .venv/ready ## measure training, encoding and scoring on this machine's GPU, in under eight minutes
	python benchmarks/gpu.py --output results/gpu.json

check: .venv/ready-dev ## formatting, lint, types
	@$(MAKE) --no-print-directory --output-sync --jobs 2 types style

types: .venv/ready-dev
	mypy

style: .venv/ready-dev
	ruff format --check $(SOURCES)
	ruff check $(SOURCES)
	snakefmt --check Snakefile rules
	snakemake --lint

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/ready: requirements.txt | .venv/bin/python
	python -m pip install --quiet --requirement requirements.txt
	touch $@

.venv/ready-dev: requirements-dev.txt .venv/ready
	python -m pip install --quiet --requirement requirements-dev.txt
	touch $@

lock: ## write the transitive pins of requirements*.in
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --requirement requirements.in
	(head -n 1 requirements.in; .venv-lock/bin/pip freeze | sed 's/+cpu$$//') > requirements.txt
	.venv-lock/bin/pip install --quiet --requirement requirements-dev.in
	(echo '-r requirements.txt'; .venv-lock/bin/pip freeze | sed 's/+cpu$$//' | grep -vxFf requirements.txt) > requirements-dev.txt
	rm -rf .venv-lock

clean: ## remove results; downloads and the environment stay
	rm -rf results
