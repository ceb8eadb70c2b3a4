PYTHON ?= python

.PHONY: install test cuda slow engines lint types wheel docs check oldest newest trust sbom audit

install:
	$(PYTHON) -m pip install -c constraints.txt -e ".[test,docs]"

test:
	CUDA_VISIBLE_DEVICES= $(PYTHON) -m pytest

cuda:
	$(PYTHON) -m pytest -n 4 tests/test_cuda.py

slow:
	CUDA_VISIBLE_DEVICES= $(PYTHON) -m pytest -m slow

engines:
	CUDA_VISIBLE_DEVICES= $(PYTHON) -m pytest -n 0 -m engines tests/engines

lint:
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

types:
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy reports/benchmarks

wheel:
	$(PYTHON) -m build --outdir dist
	$(PYTHON) .ci/check_wheel.py dist/*.whl

# Runs the tutorials, and fails on a warning: a dead link, a formula or docstring that cannot be read.
docs:
	$(PYTHON) -m sphinx -W --keep-going -q -b html docs docs/_build/html

check: lint types test slow wheel docs

oldest newest:
	.ci/versions $@

trust:
	$(PYTHON) reports/benchmarks/trust/run.py --quick

# What is installed where OF is the interpreter, in CycloneDX; pip install -c constraints.txt -e ".[audit]" has the tool.
OF ?= $(PYTHON)
sbom:
	mkdir -p dist
	$(PYTHON) -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
		--output-file dist/sbom.json "$$(command -v $(OF))"

# Asks the index for known vulnerabilities, so it needs the network, and is no part of check.
audit:
	$(PYTHON) -m pip_audit --skip-editable
