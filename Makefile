# One command each; every target sets up ./.venv itself on a machine with Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo replay lab-score report-check soak test check format bench clean deb wheel shiv onedir man try-debs internet docs

$(VENV)/ready: pyproject.toml constraints.txt
	@$(or $(PYTHON),python3) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "make: Python 3.11 with venv is needed; install it or say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "make: setting up ./.venv; a minute or two, the first time" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/ready
	@$(BIN)/python -m tests.lab demo --out demo-out

replay: $(VENV)/ready
	@test -n "$(DATA)" -a -n "$(TLD)" || { echo "usage: make replay DATA=DIR TLD=xx" >&2; exit 2; }
	@$(BIN)/python -m tests.lab replay --data "$(DATA)" --tld "$(TLD)" --out replay-out

internet: $(VENV)/ready
	@$(BIN)/python -m tests.lab internet --out internet-out

lab-score: $(VENV)/ready
	@test -n "$(SEED)" || { echo "usage: make lab-score SEED=n [DOMAINS=n]" >&2; exit 2; }
	@$(BIN)/python -m tests.lab score --seed "$(SEED)" --domains "$(or $(DOMAINS),200)" --out lab-out

# Thirty days of the lab, and their reports in headless Chromium at two widths, judged by html-validate and axe-core
# (npm installs both), pictured and printed to PDF. Some five minutes.
report-check: $(VENV)/ready
	@$(BIN)/python -m tests.panopticond.report.browser report-check-out

soak: $(VENV)/ready
	@$(BIN)/python -m tests.lab soak --indicators "$(or $(INDICATORS),5000)" --windows "$(or $(WINDOWS),4)" --out soak-out

test: $(VENV)/ready
	@$(BIN)/python -m tests

check: $(VENV)/ready
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/test_house.py

format: $(VENV)/ready
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .
	@$(BIN)/python -m tests.rooms

# The documents as a site under build/docs; a link or a heading that is not there is an error.
docs: $(VENV)/ready
	@$(BIN)/python -m sphinx -q -W --keep-going -E -b html docs build/docs
	@echo "build/docs/index.html"

bench: $(VENV)/ready
	@$(BIN)/python -m tests.bench --only "$(ONLY)"

# What is installed elsewhere: dist/ holds what the last of each made (docs/how-to/build-packages.md).
PACK = PYTHONPATH=packaging:. $(BIN)/python -m packer

deb wheel shiv onedir: $(VENV)/ready
	@$(PACK) $@ --out dist

man: $(VENV)/ready
	@$(PACK) man --out dist/man

try-debs: $(VENV)/ready
	@$(PACK) try-debs dist

clean:
	rm -rf $(VENV) build dist *.egg-info demo-out internet-out replay-out lab-out soak-out report-check-out month-out
