# Two commands do all their own set-up: `make demo` and `make test`. They need Python 3.11+, Rust 1.95+ and Maven.
SHELL := /bin/bash
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/headrace
# One warm target folder for every clone: wasmer is compiled once per machine, later builds take seconds.
export CARGO_TARGET_DIR ?= $(CACHE)/target
export UV_PYTHON_DOWNLOADS := never
UV := $(or $(shell command -v uv),$(CACHE)/uv/bin/uv)
RUN := $(UV) run --no-sync

.PHONY: help demo test wheels deb lint env java scale clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: env java ## start OpenSearch and the proxy, show pipelines at work (ONCE=1: end by itself)
	@[ -n "$(OPENSEARCH_URL)" ] || $(RUN) python -m devnode fetch
	@$(RUN) headrace demo $(if $(OPENSEARCH_URL),--opensearch $(OPENSEARCH_URL)) $(if $(ONCE),--once)

test: env java ## the whole test suite, against a real OpenSearch node
	@echo "== Rust tests"
	@cd wasm-runtime && cargo test --release --quiet
	@echo "== Python tests (the first run fetches and starts an OpenSearch node)"
	@$(RUN) pytest $(ARGS)

wheels: env ## wheels for x86_64 and aarch64 and source distributions, in dist/ (TARGET=…: one of them)
	@$(UV) sync --quiet --locked --inexact --group release
	@$(RUN) python -m release $(if $(TARGET),--target $(TARGET))

deb: ## a package for Debian and Ubuntu of the wheels in dist/
	@PATH="$(dir $(UV)):$$PATH" $(RUN) python -m release.deb

lint: env ## formatting, lints, types, import rules
	@bash .ci/lint

env: $(UV) ## the Python environment with the engine built into it
	@command -v cargo >/dev/null || { echo "A Rust toolchain is needed (cargo was not found): https://rustup.rs"; exit 1; }
	@mkdir -p "$(CARGO_TARGET_DIR)"
	@ls "$(CARGO_TARGET_DIR)"/release/deps/libwasmer-*.rlib >/dev/null 2>&1 || { \
		echo "== First build on this machine: compiling the WebAssembly engine takes 2 to 5 minutes on two cores"; \
		cd wasm-runtime && cargo build --release --locked --features pyo3/extension-module; }
	@echo "== Python environment and engine (cargo target: $(CARGO_TARGET_DIR))"
	@$(UV) sync --quiet --locked --inexact || $(UV) sync --locked --inexact
	@$(RUN) python -m guests

scale: env ## Spark and Ray in the environment, for tests/scale
	@$(UV) sync --quiet --locked --inexact --group scale

java: env
	@[ -n "$(OPENSEARCH_URL)" ] || $(RUN) python -m devnode java >/dev/null || \
		{ echo "== No Java 21+ on this machine: installing PyPI's"; $(UV) sync --quiet --locked --inexact --group java; }

$(CACHE)/uv/bin/uv:
	@echo "== Installing uv into $(CACHE)/uv"
	@python3 -m venv "$(CACHE)/uv" || { echo "python3 -m venv failed: on Debian, install the package python3-venv"; exit 1; }
	@"$(CACHE)/uv/bin/pip" install --quiet "uv==0.13.9"

clean: ## remove the environment (caches stay)
	rm -rf .venv pipelines/headrace_pipelines/*.so
