# `make demo` shows a pair failing over on a real cluster; `make test` proves it. Both set up all that they need.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# `local` brings up a cluster of its own; `existing` uses the one that KUBECONFIG names.
CLUSTER ?= local
CACHE := $(or $(KUDU_PAIR_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kudu-pair)
# Tools and compiled crates live outside the tree: `make clean` keeps them, and they are only an optimisation.
TOOLS := $(CACHE)/tools
export CARGO_TARGET_DIR ?= $(CACHE)/target
PROGRAM := $(CARGO_TARGET_DIR)/x86_64-unknown-linux-gnu/debug/kudu-pair
CARGO_DENY := $(TOOLS)/bin/cargo-deny
NEXTEST := $(TOOLS)/bin/cargo-nextest
MDBOOK := $(TOOLS)/bin/mdbook
# Tools are compiled for a quick build, not for speed.
INSTALL_TOOL := cargo install --locked --root $(TOOLS) --target-dir $(CACHE)/target-tools \
	--config 'profile.release.opt-level=0' --config 'profile.release.lto=false' --config 'profile.release.codegen-units=16'

.PHONY: help
help: ## Show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show a pair failing over on a real cluster (CLUSTER=existing: on yours)
	deploy/demo/run --cluster $(CLUSTER)

.PHONY: demo-down
demo-down: ## Remove the demo, and its cluster unless that is yours
	deploy/demo/run --cluster $(CLUSTER) --down

.PHONY: test
test: prepare lint test-client test-rust test-e2e ## Everything: lints, client, pure tests, real Kudu, API server, real cluster

.PHONY: prepare
prepare: ## Install and build what the tests run: Kubernetes, Kudu
	deploy/local/cluster build
	deploy/local/kudu-dist 1.18.1
	deploy/local/kudu-dist 1.17.1
	tests/gate/packages
	tests/alerts/packages
	tests/browser/packages

.PHONY: build
build: ## Build the program
	cargo build --locked

# With -D warnings only here: a warning must not keep anyone from trying something.
.PHONY: lint
lint: $(CARGO_DENY) ## Formats, lints, dependencies
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	$(CARGO_DENY) --locked check bans licenses sources

.PHONY: advisories
advisories: $(CARGO_DENY) ## Known vulnerabilities of dependencies; fetches the advisory database, so `make test` leaves it out
	$(CARGO_DENY) --locked check advisories

.PHONY: test-rust
test-rust: $(NEXTEST) ## Pure tests, and those on real Kudu (with the jar of test-client) and a real API server
	PATH="$(CACHE)/bin:$$PATH" $(NEXTEST) nextest run --locked

.PHONY: fuzz
fuzz: ## Fuzz every decoder for FUZZ_SECONDS each (60); `make test` runs the same targets over their corpora
	fuzz/run

.PHONY: test-client
test-client: ## The Java client's own tests, and its jar
	mvn -q -B -f tests/client/pom.xml verify

.PHONY: test-e2e
test-e2e: ## End to end on a cluster of its own
	tests/e2e/run

.PHONY: bench-replication
bench-replication: prepare test-client ## Measure replication against peers; writes docs/benchmarks
	command -v rsync >/dev/null || apt-get install --yes rsync
	cargo bench --locked --bench replication

.PHONY: chaos
chaos: ## Make faults on a real pair, FAULTS=a,b (all) ROUNDS=n (3) each, and check; writes docs/reliability.md
	PYTHONDONTWRITEBYTECODE=1 tests/chaos/run

.PHONY: bench-failover
bench-failover: ## Measure what clients wait for, TRIALS=n (20), against Kudu's own Raft; writes docs/benchmarks
	PYTHONDONTWRITEBYTECODE=1 benches/failover/run

.PHONY: crds
crds: build ## Write the CRD from src/api, for kubectl, the chart, kustomize and the book
	$(PROGRAM) crd --out crds
	$(PROGRAM) crd --out charts/kudu-pair/files/crds
	$(PROGRAM) crd --out deploy/kustomize/crd
	$(PROGRAM) crd --reference --out docs/reference

# `make test` checks the pages without it: mdBook takes minutes to compile.
.PHONY: book
book: $(MDBOOK) ## Build the book from docs into the target folder
	$(MDBOOK) build docs --dest-dir $(CARGO_TARGET_DIR)/book
	@echo "$(CARGO_TARGET_DIR)/book/index.html"

.PHONY: manifests
manifests: $(NEXTEST) ## Write deploy/kustomize, and the chart's table of values, from the chart
	WRITE_MANIFESTS=1 $(NEXTEST) nextest run --locked --test apiserver -E 'test(written_by_make_manifests)'

.PHONY: clean
clean: ## Remove what was built from the tree; tools and caches stay
	cargo clean
	rm -rf tests/client/target

$(CARGO_DENY):
	$(INSTALL_TOOL) cargo-deny --version 0.20.2

$(NEXTEST):
	$(INSTALL_TOOL) cargo-nextest --version 0.9.151 --no-default-features --features default-no-update

$(MDBOOK):
	$(INSTALL_TOOL) mdbook --version 0.5.4 --no-default-features --features search
