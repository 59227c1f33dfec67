# Everything a person or CI does here; `make` alone lists it.

CARGO_HOME ?= $(HOME)/.cargo
# Out of the clone, so that clones share what they compile.
CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/coafi/target
export PATH := $(CARGO_HOME)/bin:$(PATH)
export CARGO_TARGET_DIR
SHELL := /bin/sh

CARGO := cargo
DEBUG := $(CARGO_TARGET_DIR)/debug
STACK := $(DEBUG)/coafi-testcontainers

# The stack of `make up` and `make down`. Only the command line changes these: an environment may well hold a KAFKA_PORT
# that means something else.
NAME = dev
KAFKA_PORT = 9092
REGISTRY_PORT = 8081
POSTGRES_PORT = 5432
# More arguments for `coafi dev`.
ARGS =
# `make bench OUTPUT=json` and `make chaos OUTPUT=json` print JSON and nothing else to standard output.
OUTPUT =
# `make chaos`: how long, which faults and events (random without), which delivery, and 1 or 3 brokers.
MINUTES = 3
DELIVERY = transactional
BROKERS = 3
# `make upgrade`: the release before, by default the last one whose formats are kept; and what happens beside the upgrades.
PREVIOUS =
UPGRADE_FAULTS = upgrade,kill,freeze,database_outage
# `make outages`: how long each server is away.
OUTAGE_SECONDS = 600
# How many seeds `make simulate` runs, and with SEED only that one. `make chaos` takes a SEED too.
SEEDS = 20000
SEED =
# How many mutants `make mutants` tries at once, and more arguments for cargo-mutants.
JOBS = 2
MUTANTS =
MUTANT_SEEDS = 300
MUTANTS_OUT = $(CARGO_TARGET_DIR)
# `make fuzz`: how long each target runs, and with TARGET only that one.
SECONDS = 60
TARGET =
# `make coverage`: the file that it writes.
OUT = lcov.info

.DEFAULT_GOAL := help
.PHONY: help run tour build where test lint coverage deploy-check up env down status bench chaos upgrade outages simulate mutants fuzz
.PHONY: setup-build setup-stack setup-ecosystem setup-fuzz setup-mutants setup-coverage stack-binary

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 21
	@echo
	@echo "  make up NAME=other KAFKA_PORT=19092 REGISTRY_PORT=18081 POSTGRES_PORT=15432"
	@echo "  make run ARGS='--once --repo PATH'    make bench OUTPUT=json    make simulate SEEDS=50000 (or SEED=7)"
	@echo "  make fuzz SECONDS=300 TARGET=webhooks"
	@echo "  make chaos MINUTES=10 SEED=7 OUTPUT=json DELIVERY=at_least_once BROKERS=1    make upgrade PREVIOUS=v0.1.0"

run: build ## Build, and run `coafi dev` over this clone's history (Ctrl-C ends it)
	@$(DEBUG)/coafi dev $(ARGS)

tour: build setup-stack stack-binary ## Drive every source once on a stack of its own, and print what became of each event
	@PATH="$(DEBUG):$$PATH" $(STACK) run -- sh -c '\
		COAFI__KAFKA__BOOTSTRAP_SERVERS=$$COAFI_TEST_KAFKA COAFI__SCHEMA_REGISTRY__URL=$$COAFI_TEST_REGISTRY \
		COAFI__DATABASE__URL=$$COAFI_TEST_POSTGRES exec scripts/tour'

build: setup-build ## Build coafi
	$(CARGO) build --locked --package coafi --bin coafi

where: ## Print the directory that coafi is built into, for the PATH
	@echo $(DEBUG)

test: setup-build setup-stack setup-ecosystem ## Run every test, against a stack of their own
	$(CARGO) test --locked --workspace --no-run
	$(STACK) run -- $(CARGO) test --locked --workspace

lint: setup-build ## Format, clippy, docs, shell scripts, licences and bans
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	@if command -v shellcheck >/dev/null 2>&1; then shellcheck scripts/setup scripts/previous scripts/mutants scripts/fuzz scripts/tour scripts/deploy scripts/deploy-check .ci/run; \
	else echo "lint: shellcheck is not here; CI runs it" >&2; fi
	@if command -v cargo-deny >/dev/null 2>&1; then $(CARGO) deny --locked check licenses bans sources; \
	else echo "lint: cargo-deny is not here (cargo install --locked cargo-deny); CI runs it" >&2; fi

coverage: setup-build setup-coverage ## Run the unit tests, and write the lines that they reach to OUT (lcov)
	$(CARGO) llvm-cov --locked --package coafi --lib --lcov --output-path $(OUT)

# Not a part of lint: it needs terraform and its provider, and minutes the first time.
deploy-check: ## Check the Helm chart, terraform/, the workflows and the Dockerfile; deploys nothing
	@scripts/deploy-check

up: setup-build setup-stack stack-binary ## Start Kafka, a schema registry and Postgres, and wait until they answer
	@$(STACK) up --name $(NAME) --kafka-port $(KAFKA_PORT) --registry-port $(REGISTRY_PORT) --postgres-port $(POSTGRES_PORT)

env: stack-binary ## Print the lines that point coafi at it: eval "$$(make -s env)"
	@$(STACK) env --name $(NAME)

down: stack-binary ## Stop just those, and remove their data
	@$(STACK) down --name $(NAME)

status: stack-binary ## Say which of them run and answer
	@$(STACK) status --name $(NAME)

bench: setup-build setup-stack stack-binary ## Measure the pipeline beside a raw rdkafka loop, on a stack of its own
	@$(CARGO) build --locked --release --package coafi --package coafi-bench --bin coafi --bin coafi-bench
	@COAFI_BENCH_BINARY=$(CARGO_TARGET_DIR)/release/coafi $(STACK) run -- \
		$(CARGO_TARGET_DIR)/release/coafi-bench $(if $(OUTPUT),--output $(OUTPUT))

chaos: setup-build setup-stack ## Break everything around `coafi consume` for MINUTES, and count what was lost or doubled
	@$(CARGO) build --locked --quiet --package coafi --package coafi-chaos --bin coafi --bin coafi-chaos
	@$(DEBUG)/coafi-chaos --binary $(DEBUG)/coafi --minutes $(MINUTES) --delivery $(DELIVERY) --brokers $(BROKERS) \
		$(if $(SEED),--seed $(SEED)) $(if $(OUTPUT),--output $(OUTPUT))

upgrade: setup-build setup-stack ## Roll replicas from the release before to this one and back, under load, and count the same
	@previous=$$(scripts/previous $(PREVIOUS)) \
		&& $(CARGO) build --locked --quiet --package coafi --package coafi-chaos --bin coafi --bin coafi-chaos \
		&& $(DEBUG)/coafi-chaos --binary $(DEBUG)/coafi --previous "$$previous" --brokers 1 --only $(UPGRADE_FAULTS) \
			--minutes $(MINUTES) --delivery $(DELIVERY) $(if $(SEED),--seed $(SEED)) $(if $(OUTPUT),--output $(OUTPUT))

outages: setup-build setup-stack stack-binary ## Take each server away for OUTAGE_SECONDS under load, and ask for the same as after short outages
	$(CARGO) test --locked --workspace --test product --no-run
	COAFI_PRODUCT_OUTAGE_SECONDS=$(OUTAGE_SECONDS) \
		$(STACK) run -- $(CARGO) test --locked --workspace --test product -- load:: ledger::

simulate: setup-build ## Run the engine's simulation over SEEDS seeds and print one JSON object, or replay one SEED
	COAFI_SIM_SEEDS=$(SEEDS) $(if $(SEED),COAFI_SIM_SEED=$(SEED)) \
		$(CARGO) test --locked --package coafi-simulation --test simulation -- --nocapture

# Each job compiles in a copy of the tree, and must not share a target directory with the others.
mutants: setup-build setup-mutants ## Change the engine in every small way, and count the changes that no test notices
	@COAFI_SIM_SEEDS=$(MUTANT_SEEDS) scripts/mutants $(MUTANTS_OUT) --jobs $(JOBS) $(MUTANTS)

fuzz: setup-build setup-fuzz ## Call every parser of outside bytes with bytes that nobody chose, each for SECONDS
	@scripts/fuzz $(CARGO_TARGET_DIR)/fuzz $(SECONDS) $(TARGET)

setup-build:
	@scripts/setup build

setup-stack:
	@scripts/setup stack

setup-fuzz:
	@scripts/setup fuzz

setup-mutants:
	@scripts/setup mutants

setup-coverage:
	@scripts/setup coverage

setup-ecosystem:
	@scripts/setup ecosystem

stack-binary:
	@$(CARGO) build --locked --quiet --package coafi-testcontainers
