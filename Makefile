PYTHON ?= python

.PHONY: install test cuda slow lint types wheel check

install:
	$(PYTHON) -m pip install -c constraints.txt -e ".[test]"

test:
	CUDA_VISIBLE_DEVICES= $(PYTHON) -m pytest

cuda:
	$(PYTHON) -m pytest -n 4 tests/test_cuda.py

slow:
	CUDA_VISIBLE_DEVICES= $(PYTHON) -m pytest -m slow

lint:
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

types:
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy reports/benchmarks

wheel:
	$(PYTHON) -m build --outdir dist
	$(PYTHON) .ci/check_wheel.py dist/*.whl

check: lint types test slow wheel
