# `make demo` shows a pair failing over on a real cluster; `make test` proves it. Both set up all that they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

KUDU_VERSION ?= 1.18.1
# `local` brings up a cluster of its own; `existing` uses the one that KUBECONFIG names.
CLUSTER ?= local
CACHE := $(or $(KUDU_PAIR_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kudu-pair)
TOOLS := $(CACHE)/tools
BINARY := $(or $(CARGO_TARGET_DIR),target)/x86_64-unknown-linux-gnu/debug/kudu-pair
export PATH := $(TOOLS)/bin:$(PATH)

.PHONY: help
help: ## Show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show a pair failing over on a real cluster (CLUSTER=existing: on yours)
	deploy/demo/run --cluster $(CLUSTER)

.PHONY: demo-down
demo-down: ## Remove the demo and its cluster
	deploy/demo/run --cluster $(CLUSTER) --down

.PHONY: test
test: lint test-rust test-client test-chart test-e2e ## Everything: lints, pure, real Kudu, API server, chart, end to end

.PHONY: build
build: ## Build the program
	cargo build --locked

.PHONY: lint
lint: $(TOOLS)/bin/cargo-deny ## Formats, lints, dependencies
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo deny --locked check
	deploy/local/lint

.PHONY: crds
crds: build ## Write crds/ from src/api
	$(BINARY) crd --out crds
