PYTHON ?= python

.PHONY: install test lint types wheel check

install:
	$(PYTHON) -m pip install -c constraints.txt -e ".[test]"

test:
	$(PYTHON) -m pytest

lint:
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

types:
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy reports/benchmarks

wheel:
	$(PYTHON) -m build --outdir dist
	$(PYTHON) .ci/check_wheel.py dist/*.whl

check: lint types test wheel
