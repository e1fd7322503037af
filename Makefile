# Kvitta. `make help` lists all; `make run` starts the demo.
PYTHON ?= python3
PORT ?= 8000
SANDBOX_PORT ?= 8001
DATABASE ?= both
WORKERS ?= 3
ARGS ?=
BIN := .venv/bin
# A Python that was asked for is the one that is used; else one of this machine that is built to be quick.
NAMED := $(if $(filter file,$(origin PYTHON)),,--named)
# Every start of Python is quicker by what is kept of the last one (__pycache__), whatever the surroundings say.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run reset setup setup-test test check format lint types translations bench

help: ## List what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup ## Start the demo on http://127.0.0.1:8000 (PORT=8010 for another port); Ctrl-C stops it
	@$(BIN)/python -m demo.start --port $(PORT) --sandbox-port $(SANDBOX_PORT)

reset: setup ## Throw the demo's data away, so that the next start begins afresh
	@$(BIN)/python -m demo.start --reset

setup: ## Make .venv with what running needs
	@$(PYTHON) scripts/set_up.py run $(NAMED)

setup-test: ## Make .venv with what testing needs, and find a browser
	@$(PYTHON) scripts/set_up.py test $(NAMED)

test: setup-test ## Run all tests, on SQLite and PostgreSQL and in a browser (ARGS="-k refund" for some)
	@$(BIN)/python -m pytest -n $(WORKERS) --database $(DATABASE) $(ARGS)

check: setup-test ## What CI runs: format, lint, types, templates, translations, architecture, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_template_rules.py tests/test_translations.py
	@$(MAKE) --no-print-directory test

format: setup-test ## Put the code into form
	@$(BIN)/ruff check --select I --fix -q .
	@$(BIN)/ruff format .

lint: setup-test ## Look for what ruff complains about
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: setup-test ## Check the types
	@$(BIN)/mypy

translations: setup-test ## Bring the catalogues up to date with the sentences in the code
	@$(BIN)/pybabel -q extract -F babel.cfg -k N_ -k lazy --no-wrap --sort-by-file --add-location=file -o translations/messages.pot .
	@mkdir -p translations/sv/LC_MESSAGES
	@test -f translations/sv/LC_MESSAGES/messages.po || $(BIN)/pybabel -q init -i translations/messages.pot -d translations -l sv
	@$(BIN)/pybabel -q update -i translations/messages.pot -d translations --no-wrap --no-fuzzy-matching --ignore-obsolete
	@$(BIN)/pybabel -q compile -d translations
	@$(BIN)/python -m pytest -q tests/test_translations.py

bench: setup-test ## Measure the floors and Kvitta side by side
	@$(BIN)/python -m pytest -p benchmark benchmarks $(ARGS)
