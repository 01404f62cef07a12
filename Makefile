# NeuronX core engine. `make` alone prints this help.
.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go
GOTEST ?= $(GO) test
PROGRAMS := ingest rules projector archiver gohighlevel standin
DATA_DIR ?= .neuronx
RUN_FLAGS ?=
TEST_FLAGS ?=

.PHONY: help run test build lint fuzz bench e2e rounds soak clean

help: ## print this help
	@awk -F':.*## ' '/^[a-z0-9_-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## start the whole engine on embedded Kafka and Postgres, with demo leads; Ctrl-C stops it
	@test -x bin/neuronx || echo "building bin/neuronx; the first build takes minutes"
	@mkdir -p bin && $(GO) build -o bin/neuronx ./services/neuronx/cmd
	@exec ./bin/neuronx dev --data-dir $(DATA_DIR) $(RUN_FLAGS)

# Most of the tests wait: TEST_FLAGS='-p 4' runs more packages at the same time than there are processors.
test: ## all tests that need neither Docker nor a JVM; sets up its own Postgres
	GOWORK=off $(GO) build ./...
	cd e2e && GOWORK=off $(GO) vet ./...
	$(GO) vet ./...
	$(GOTEST) $(TEST_FLAGS) ./...
	$(GO) test -tags synctests -run Simulation ./services/ingest/sequencer
	cd e2e && $(GOTEST) ./...

build: ## build every program into bin/
	@mkdir -p bin
	@for p in $(PROGRAMS); do $(GO) build -trimpath -o bin/neuronx-$$p ./services/$$p/cmd || exit 1; done
	@$(GO) build -trimpath -o bin/neuronx ./services/neuronx/cmd

lint: ## golangci-lint (installed into bin/ on first use)
	@test -x bin/golangci-lint || GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	bin/golangci-lint run --build-tags realkafka,synctests,threebrokers ./...
	cd e2e && ../bin/golangci-lint run --build-tags e2e,containers ./...

fuzz: ## every fuzz target for FUZZTIME (10s)
	@./deploy/ci/fuzz.sh $(or $(FUZZTIME),10s)

bench: ## measure, as ratios to raw limits in the same run; writes .bench/latest.json
	cd e2e && $(GO) run ./bench

# -parallel: tests that wait for their turn count, too.
e2e: ## the proof on a real Kafka: NEURONX_TEST_KAFKA_BROKERS names its brokers, NEURONX_TEST_KAFKA_SASL_* those of one with passwords, NEURONX_TEST_KAFKA_RUN a script that starts one
	cd e2e && $(GOTEST) -tags e2e -count=1 -timeout 90m -parallel 32 ./...

rounds: ## the proof's rounds of one fault each, many of them (ROUNDS, default 20)
	cd e2e && NEURONX_TEST_ROUNDS=$(or $(ROUNDS),20) $(GO) test -tags e2e -count=1 -timeout 12h -run '^TestRounds$$' .

soak: ## SOAK_MINUTES (30) of load on three brokers with a random fault every 10 s, checked all the while; see docs/operations.md
	cd e2e && NEURONX_TEST_SOAK=$(or $(SOAK_MINUTES),30) $(GO) test -tags e2e -count=1 -timeout 12h -run '^TestSoakCluster$$' -v .

clean: ## remove built programs; data of `make run` stays
	rm -rf bin .bench
