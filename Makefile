# make demo | make test | make check | make bench: each works on a fresh Debian 12.
VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: check
check:
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
