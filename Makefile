# Two commands do all the set-up: `make demo` and `make test`. Everything lives in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests see programs as their users do: compiled once, and with output that waits in a pipe until it is sent.
unexport PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED

.PHONY: demo test lint bench fuzz docs screenshots lock migration clean

demo: $(VENV)/runtime.stamp  ## play the lab end to end, with the local stand-in for Microsoft's APIs
	$(BIN)/tipline demo $(ARGS)

test: $(VENV)/dev.stamp $(VENV)/peers.stamp  ## run every test
	$(BIN)/python -m pytest -n auto --dist loadscope $(ARGS)

lint: $(VENV)/dev.stamp  ## style and types
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/runtime.stamp  ## the measurements of docs/performance.md, at a million indicators (ARGS=--n 100000 for less)
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(VENV)/dev.stamp  ## hostile bodies for one parser, guided by coverage (ARGS="stix2 --seconds 3600")
	PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

docs: $(VENV)/runtime.stamp  ## write the generated reference pages
	$(BIN)/python -m tipline.cli.reference docs/reference

screenshots: $(VENV)/dev.stamp  ## take the pictures of the pages (needs Chromium)
	cd tests && ../$(BIN)/python -m web.screenshots ../docs/screenshots

lock:  ## refresh the lock files (needs uv)
	uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -o requirements/runtime.lock
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -c requirements/runtime.lock -o requirements/dev.lock
	uv pip compile requirements/peers.in --python-version 3.11 --generate-hashes --custom-compile-command "make lock" -o requirements/peers.lock

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime.stamp: requirements/runtime.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --require-hashes -r requirements/runtime.lock
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

$(VENV)/dev.stamp: requirements/dev.lock $(VENV)/runtime.stamp
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.lock
	touch $@

# Programs that tests start as peers; their pins differ from ours.
$(VENV)/peers.stamp: requirements/peers.lock | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/pip install --quiet --require-hashes -r requirements/peers.lock
	touch $@
