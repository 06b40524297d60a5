# make demo, make test: both set everything up first, once, in .venv
VENV ?= .venv
STAMP := $(VENV)/.installed
PY := $(VENV)/bin/python
CANDIDATES := $(PYTHON) python3 python3.12 python3.11 python3.10
SUITED := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))

.PHONY: demo test test-slow bench coverage lint clean

demo: $(STAMP)
	$(PY) examples/resnet50_cifar10/train.py --config_path demo_digits.yaml

test: $(STAMP)
	$(PY) -m pytest -n 2 --dist loadfile

test-slow: $(STAMP)
	$(PY) -m pytest -m slow

bench: $(STAMP)
	$(PY) benchmarks/run.py $(BENCH)

coverage: $(STAMP)
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/requirements-coverage.txt
	$(PY) benchmarks/coverage.py --table docs/coverage.md

lint: $(STAMP)
	$(PY) -m pip install --quiet ruff mypy types-PyYAML
	$(PY) -m ruff check .
	$(PY) -m mypy

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

clean:
	rm -rf $(VENV) build *.egg-info
