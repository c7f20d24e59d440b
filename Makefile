# One set-up for every target: a virtual environment that is made once, and again only when
# pyproject.toml or constraints.txt change.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo dev docs docs-serve test check fuzz bench install format clean help
help:
	@echo "make demo     install, then build knowledge bases and ask them questions"
	@echo "make dev      serve the graph on 127.0.0.1:2024 (langgraph dev): the run viewer, Studio, the SDK, MCP and A2A"
	@echo "make docs     build the site into site/, without a network; open site/index.html"
	@echo "make test     install, then run every test"
	@echo "make check    formatting, lint, types, import contracts"
	@echo "make fuzz     polyroute serve under schemathesis, in an environment of its own"
	@echo "make bench    the figures of docs/figures.md, measured here"
	@echo "make install  only the set-up"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Polyroute needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing into $(VENV), once; this takes a few minutes.'
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/python examples/demo.py

# Of router.yaml if there is one, else of the demo's knowledge bases. Its own state lies in .langgraph_api, the runs in
# runs/, or beside the demo's. On loopback alone: whoever reaches the port asks models on your account and reads what
# others asked. Where other machines shall reach it, start langgraph dev with --host and POLYROUTE_TOKEN.
DEV_PORT ?= 2024
dev: $(STAMP)
	@test -f router.yaml || test -n "$$POLYROUTE_CONFIG$$POLYROUTE_KB" || \
		$(BIN)/python examples/demo_knowledge.py
	@test -f router.yaml || test -n "$$POLYROUTE_CONFIG$$POLYROUTE_KB" || \
		export POLYROUTE_KB=.demo/kb POLYROUTE_RUNS="$${POLYROUTE_RUNS:-.demo/runs}"; \
		LANGGRAPH_CLI_NO_ANALYTICS=1 LANGGRAPH_NO_VERSION_CHECK=true LANGSMITH_TRACING=false LOG_LEVEL=$${LOG_LEVEL:-WARNING} \
		$(BIN)/langgraph dev --no-browser --no-reload --host 127.0.0.1 --port $(DEV_PORT) --n-jobs-per-worker 10

# Pages that fetch nothing from elsewhere; a broken link fails the build.
docs: $(STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo 'Built; open site/index.html'

# For authors: built again with each change.
docs-serve: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8009

# A process for each core; the tests of a file stay together, as they share what they build, and tests/conftest.py has
# the long files first.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy packages training/router_training
	$(BIN)/lint-imports

FUZZ := .venv-fuzz
$(FUZZ)/.installed: constraints-fuzz.txt
	@test -x $(FUZZ)/bin/python || $(PYTHON) -m venv $(FUZZ)
	@$(FUZZ)/bin/python -m pip install --quiet --constraint constraints-fuzz.txt schemathesis
	@touch $@

fuzz: $(STAMP) $(FUZZ)/.installed
	$(BIN)/python benchmarks/serve_fuzz.py $(FUZZ)/bin/schemathesis

bench: $(STAMP)
	$(BIN)/python benchmarks/kb_retrieval.py
	$(BIN)/python benchmarks/kb_speed.py
	$(BIN)/python benchmarks/kb_torture.py
	$(BIN)/python benchmarks/pool_speed.py
	$(BIN)/python benchmarks/pool_budget.py
	$(BIN)/python benchmarks/ottqa_route.py
	$(BIN)/python benchmarks/graph_speed.py
	$(BIN)/python benchmarks/graph_load.py
	$(BIN)/python benchmarks/graph_faults.py
	$(BIN)/python benchmarks/dev_start.py
	$(BIN)/python benchmarks/viewer_page.py
	$(BIN)/python benchmarks/viewer_draw.py
	$(BIN)/python benchmarks/runs_record.py
	$(BIN)/python benchmarks/runs_store.py
	$(BIN)/python benchmarks/train_credit.py
	$(BIN)/python benchmarks/train_offline.py
	$(BIN)/python benchmarks/mote_speed.py
	$(BIN)/python benchmarks/mote_proof.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) site .venv-fuzz .demo .langgraph_api .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
