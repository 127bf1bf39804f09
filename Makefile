# make help says what there is. Everything happens in .venv; `make env` makes it and is instant once it is there.

PY := .venv/bin/python
SWEEP ?= sweeps/quick.yaml
ARGS ?=
TESTS ?= tests
export TORCH

# Another Python is used only where it was asked for: with PYTHON= an environment of a different Python is made anew.
ifdef PYTHON
MAKE_ENV := $(PYTHON) tools/make_env.py
else
MAKE_ENV := python3 tools/make_env.py --keep
endif

.DEFAULT_GOAL := help
.PHONY: help env lint test sweep clean

help:
	@echo 'make env                  the environment, in .venv'
	@echo "     TORCH='...'          any pip requirement for torch, with options or a wheel; unused if PYTHON has torch"
	@echo '     PYTHON=python3.12    the Python to make it from (3.10 or newer; default: python3)'
	@echo 'make sweep                make env, then measure sweeps/quick.yaml on the best device present'
	@echo '     SWEEP=FILE           another sweep'
	@echo "     ARGS='...'           more options for tools/sweep.py run"
	@echo 'make lint                 ruff, mypy, import directions'
	@echo 'make test                 make env, make lint, then the tests'
	@echo "     TESTS=PATH ARGS='..' only those tests; more options for pytest"
	@echo 'make clean                removes .venv and caches; results (runs/, .asv/) stay'

env:
	@$(MAKE_ENV)

lint: env
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -c 'from importlinter.cli import lint_imports_command as lint; lint()'

test: lint
	$(PY) -m pytest -n 2 --dist loadfile -m 'not long' $(TESTS) $(ARGS)

sweep: env
	$(PY) tools/sweep.py run $(SWEEP) $(ARGS)

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info
	find src tests tools plots benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
