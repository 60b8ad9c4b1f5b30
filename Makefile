# make demo | make test | make check | make bench | make agent: each works on a fresh Debian 12.
VENV ?= .venv
PYTHON ?= python3
PY := $(VENV)/bin/python
NODE_PEERS := tests/real/peers/node
PYTEST_ARGS ?=

# Stamps remember what is installed, so that the second run installs nothing.
GATEWAY_STAMP := $(VENV)/.installed-gateway
TEST_STAMP := $(VENV)/.installed-test
CHECK_STAMP := $(VENV)/.installed-check
PACKAGES_STAMP := $(VENV)/.installed-system-packages
BENCH_PACKAGES_STAMP := $(VENV)/.installed-bench-packages
NODE_STAMP := $(NODE_PEERS)/node_modules/.installed

.DELETE_ON_ERROR:
.PHONY: venv
venv: $(GATEWAY_STAMP) ## the gateway in a virtual environment

.PHONY: demo
demo: venv
	$(VENV)/bin/devicetrust demo

.PHONY: test
test: $(TEST_STAMP) $(PACKAGES_STAMP) $(NODE_STAMP)
	@# Flows and real parts mostly wait: beside them runs what mostly computes. Its output comes behind theirs.
	$(PY) -m pytest tests/unit tests/fuzz $(PYTEST_ARGS) >$(VENV)/unit-tests.log 2>&1 & unit=$$!; \
	$(PY) -m pytest tests/flows $(PYTEST_ARGS) >$(VENV)/flow-tests.log 2>&1 & flows=$$!; \
	$(PY) -m pytest tests/real $(PYTEST_ARGS); status=$$?; \
	wait $$flows || status=1; cat $(VENV)/flow-tests.log; \
	wait $$unit || status=1; cat $(VENV)/unit-tests.log; exit $$status

.PHONY: check
check: $(CHECK_STAMP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: bench
bench: $(TEST_STAMP) $(BENCH_PACKAGES_STAMP)
	$(PY) -m benchmarks

.PHONY: agent
agent: venv ## the wheel of the agent alone, for workstations, in dist/
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist gateway/agent/distribution

.PHONY: clean
clean:
	rm -rf $(VENV) $(NODE_PEERS)/node_modules

$(PY):
	tests/support/system_packages.sh python
	$(PYTHON) -m venv $(VENV)

$(GATEWAY_STAMP): pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -e .
	touch $@

# Some of the tests' Python packages are compiled, against headers that are Debian packages. mypy reads the
# tests' support code, so that `make check` needs them, too.
$(TEST_STAMP): pyproject.toml $(PACKAGES_STAMP) | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@ $(GATEWAY_STAMP)

$(CHECK_STAMP): pyproject.toml $(PACKAGES_STAMP) | $(PY)
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[test,check]'
	touch $@ $(TEST_STAMP) $(GATEWAY_STAMP)

$(PACKAGES_STAMP): tests/support/system_packages.sh | $(PY)
	tests/support/system_packages.sh tests
	touch $@

$(BENCH_PACKAGES_STAMP): tests/support/system_packages.sh | $(PY)
	tests/support/system_packages.sh bench
	touch $@

$(NODE_STAMP): $(NODE_PEERS)/package.json $(NODE_PEERS)/package-lock.json | $(PACKAGES_STAMP)
	cd $(NODE_PEERS) && npm ci --no-progress --loglevel=error
	touch $@
