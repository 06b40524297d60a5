# make demo, make test: both set everything up first, once, in .venv; make help lists the rest
VENV ?= .venv
STAMP := $(VENV)/.installed
PY := $(VENV)/bin/python
CANDIDATES := $(PYTHON) python3 python3.12 python3.11 python3.10
SUITED := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))

.DEFAULT_GOAL := demo
.PHONY: help demo test test-all test-slow bench coverage lite lint docs release-check clean
CASES ?= 1

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP) ## train, prune, fine-tune and export a ResNet-20 on real images; up to 6 minutes
	$(PY) examples/resnet50_cifar10/train.py --config_path demo_digits.yaml

test: $(STAMP) ## the tests, one case of each parametrised one (CASES=2: two), without what takes long; 6 minutes
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cases $(CASES)

test-all: $(STAMP) ## the tests with what takes long, and all but the slow ones: what CI runs; up to 20 minutes
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: $(STAMP) ## the tests that take longer, and all cases of those with many
	$(PY) -m pytest -m slow

bench: $(STAMP) ## the benchmarks with small settings, a table for each
	$(PY) benchmarks/run.py $(BENCH)

coverage: $(STAMP) ## what can be pruned of mindcv's, mindyolo's and mindocr's models, into docs/coverage.md
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements-coverage.txt
	$(PY) benchmarks/coverage.py --table docs/coverage.md

lite: $(STAMP) ## slim networks in MindSpore Lite: fetched, built, compared, timed
	PYTHON=$(abspath $(PY)) bash examples/on_device/build.sh output/lite
	$(PY) examples/on_device/table.py output/lite

lint: $(STAMP) ## ruff and mypy
	$(PY) -m pip install --quiet ruff mypy types-PyYAML
	$(PY) -m ruff check .
	$(PY) -m mypy

release-check: $(STAMP) ## sdist and wheel, and the wheel tried in an empty environment
	$(PY) tools/release_check.py output/release

docs: $(STAMP) ## the pages of docs/ with the reference, into docs/_build; a warning is an error
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(PY) -m sphinx -E -W --keep-going -q docs docs/_build
	@echo "docs/_build/index.html"

$(STAMP): pyproject.toml
	@found=; for python in $(CANDIDATES); do \
	    if "$$python" -c '$(SUITED)' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "error: no Python 3.10, 3.11 or 3.12 with the venv module was found;" \
	         "install one (on Debian also python3-venv) or name it: make PYTHON=/path/to/python" >&2; \
	    exit 1; \
	fi; \
	echo "setting up $(VENV) with $$($$found --version); this is done once and takes a few minutes" && \
	"$$found" -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[cli,examples,plot,onnx,test,zoo]'
	@touch $(STAMP)

clean: ## remove the environment and what was built
	rm -rf $(VENV) build docs/_build *.egg-info
