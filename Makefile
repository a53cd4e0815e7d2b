# Needs python3 (3.11 or later), pip and make; everything else is installed into this folder.
PYTHON ?= python3
UV := .uv/bin/uv
BIN := .venv/bin
OLDEST := .environments/langgraph-oldest
OLDEST_AGENTS := .environments/openai-agents-oldest
CREWAI := .environments/crewai
OLDEST_CREWAI := .environments/crewai-oldest
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1

.PHONY: demo test lint bench docs lock upstream-langgraph upstream-openai-agents upstream-crewai torture clean

# The main job, offline: an app without and with its seat belt.
demo: .venv/.installed
	@began=$$(date +%s); $(BIN)/python examples/demo/demo.py && echo "demo: $$(( $$(date +%s) - began )) s"

# Every check: lint, types, import direction, and all tests; each adapter on the newest and oldest version that it supports.
test: lint $(OLDEST)/.installed $(OLDEST_AGENTS)/.installed $(CREWAI)/.installed $(OLDEST_CREWAI)/.installed
	@began=$$(date +%s); \
	$(BIN)/python -m pytest -n 2 --dist loadfile && \
	$(OLDEST)/bin/python -m pytest -n 2 --dist loadfile tests/langgraph && \
	$(OLDEST_AGENTS)/bin/python -m pytest -n 2 --dist loadfile tests/openai_agents && \
	$(CREWAI)/bin/python -m pytest -n 2 --dist loadfile tests/crewai && \
	$(OLDEST_CREWAI)/bin/python -m pytest -n 2 --dist loadfile tests/crewai && \
	echo "tests: $$(( $$(date +%s) - began )) s"

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=.:adapters $(BIN)/lint-imports

# Ratios, measured side by side in one run.
bench: .venv/.installed $(CREWAI)/.installed
	$(BIN)/python -m benchmarks
	$(CREWAI)/bin/python -m benchmarks crewai_call

# The ledgers' faults in full: killed workers and servers, cut connections, torn logs. `make test` runs a tenth of each.
torture: .venv/.installed
	MAS_GUARD_TORTURE=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/ledger

docs: .venv/.installed
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build

# The framework's own suite, bare and guarded, on the newest and the oldest supported version.
upstream-langgraph: .venv/.installed
	$(BIN)/python tests/upstream/langgraph_suite.py

# The same for the Agents SDK, with its examples that run offline.
upstream-openai-agents: .venv/.installed
	$(BIN)/python tests/upstream/openai_agents_suite.py

# The same for CrewAI.
upstream-crewai: .venv/.installed
	$(BIN)/python tests/upstream/crewai_suite.py

# Writes the lock files anew from pyproject.toml.
lock: $(UV)
	$(UV) pip compile -q --universal --python-version 3.11 --group development --extra langgraph --extra openai --extra prices --generate-hashes --no-annotate --no-emit-index-url --no-header pyproject.toml -o locks/development.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-header locks/langgraph-oldest.in -o locks/langgraph-oldest.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-header locks/openai-agents-oldest.in -o locks/openai-agents-oldest.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-header locks/crewai.in -o locks/crewai.txt
	$(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-header locks/crewai-oldest.in -o locks/crewai-oldest.txt

$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv uv

.venv/.installed: locks/development.txt pyproject.toml | $(UV)
	test -x .venv/bin/python || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" .venv
	$(UV) pip sync --quiet --python .venv --require-hashes locks/development.txt
	$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@touch $@

# The environments beside it: what they hold is in the lock file of the same name.
.environments/%/.installed: locks/%.txt pyproject.toml | $(UV)
	test -x $(@D)/bin/python || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" $(@D)
	$(UV) pip sync --quiet --python $(@D) --require-hashes $<
	$(UV) pip install --quiet --python $(@D) --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf .uv .venv .environments .upstream site dist
