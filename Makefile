# The way in for people: `make run` and `make test` need a Debian machine with Python 3.11 or newer
# and, for the Debian packages that are missing, root or sudo.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
NODE_MODULES := .cache/node
PEER := bench/.venv-peer

# ws is what the README's Node client imports.
WS := ws@8.18.3

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT_INSTALL := $(SUDO) apt-get update -qq </dev/null && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends

.PHONY: run test soak bench bench-peer bench-tricks screenshots lint types openapi lock

run: $(VENV)/run.stamp
	@exec $(BIN)/avatar-bridge serve

test: $(VENV)/test.stamp $(NODE_MODULES)/stamp
	@command -v espeak-ng >/dev/null || { $(APT_INSTALL) espeak-ng </dev/null; }
	@command -v chromium >/dev/null || { $(APT_INSTALL) chromium </dev/null; }
	@$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder --cov --cov-report term

# What takes minutes: ten of speech without a break on each path, ten of viewers that never read, one
# of picture and sound, two hundred crashes.
soak: $(VENV)/test.stamp
	@$(BIN)/python -m pytest -m soak --numprocesses 2

# Each takes less than ten minutes, and wants an idle machine with two cores.
bench: $(VENV)/test.stamp
	@$(BIN)/python -m bench

bench-peer: $(VENV)/test.stamp $(PEER)/stamp
	@$(BIN)/python -m bench --peer $(PEER)/bin/python

bench-tricks: $(VENV)/test.stamp
	@$(BIN)/python -m bench --tricks

# The pictures in the README, taken anew.
screenshots: $(VENV)/test.stamp
	@mkdir -p deploy/screenshots
	@SCREENSHOTS=$(CURDIR)/deploy/screenshots $(BIN)/python -m pytest tests/browser -k readme

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp
	$(BIN)/mypy

openapi: $(VENV)/run.stamp
	$(BIN)/avatar-bridge openapi

# Keeps every pin that still fits; delete requirements*.txt first to take the newest of all.
lock:
	tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && $(PYTHON) -m venv "$$tmp" && \
	"$$tmp/bin/pip" install --quiet pip-tools && \
	compile="$$tmp/bin/pip-compile --quiet --generate-hashes --strip-extras --no-header \
		--no-emit-index-url --no-emit-find-links --build-deps-for editable" && \
	$$compile --output-file requirements.txt pyproject.toml && \
	$$compile --extra test --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

# What follows makes each environment once, and again only when its lock has changed.

$(VENV)/run.stamp: requirements.txt pyproject.toml | $(VENV)/made.stamp
	$(PIP) install --require-hashes --requirement requirements.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test.stamp: requirements-dev.txt pyproject.toml | $(VENV)/made.stamp
	$(PIP) install --require-hashes --requirement requirements-dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/made.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(APT_INSTALL) python3-venv </dev/null; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(PEER)/stamp: bench/peer-requirements.txt | $(VENV)/made.stamp
	$(PYTHON) -m venv --clear $(PEER)
	$(PEER)/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	@touch $@

$(NODE_MODULES)/stamp:
	@command -v node >/dev/null && command -v npm >/dev/null || { $(APT_INSTALL) nodejs npm </dev/null; }
	npm install --silent --prefix $(NODE_MODULES) --no-save --no-package-lock $(WS)
	@touch $@
