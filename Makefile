# make run   the web app on 127.0.0.1:8501 and a worker beside it; Ctrl-C ends both
# make test  lint, types, layer contracts and all tests
# make test-faults  what kills, cuts and restarts, as often as docs/reliability.md says; make test does each a few times
# make bench the benchmarks that the README quotes
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test lint tests test-faults bench clean
.DELETE_ON_ERROR:

run: $(VENV)/installed
	@exec $(BIN)/noisedash up

test: lint tests

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tests: $(VENV)/installed-test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --ignore tests/faults
	$(BIN)/python -m pytest tests/faults

# Speed is measured alone; the other tests mostly wait, so three run at a time.
CLAIMS := tests/faults/test_faults_claims.py
test-faults: $(VENV)/installed-test
	NOISEDASH_FAULTS=full $(BIN)/python -m pytest $(CLAIMS)
	NOISEDASH_FAULTS=full $(BIN)/python -m pytest --numprocesses 3 tests/faults --ignore $(CLAIMS)

bench: $(VENV)/installed
	$(BIN)/noisedash bench train
	$(BIN)/noisedash bench eval
	$(BIN)/noisedash bench queue

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "NoiseDash needs Python 3.11 or newer: set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python requirements.txt constraints.txt pyproject.toml
	@echo "Installing into $(VENV) (about 6 GB the first time)"
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed requirements-test.txt requirements-ray.txt tests/install-postgres
	$(PIP) --editable '.[test]'
	tests/browser/install-browser $(BIN)
	tests/install-postgres $(BIN)
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
