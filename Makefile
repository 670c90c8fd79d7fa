# Everything a developer types. `make help` lists it.
GO ?= go
GOLANGCI_LINT_VERSION := v2.15.0

.PHONY: help build run demo test nights lint interop bench fuzz clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

build: ## the binary, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/wechat-bridge ./cmd/wechat-bridge

run: build ## the worker, with an embedded NATS server
	./bin/wechat-bridge run

demo: build ## the story on one screen, without an account
	./bin/wechat-bridge demo

test: ## all tests, as CI runs them
	$(GO) test -race -shuffle=on ./...

nights: ## the bad nights in real time (12 minutes) into docs/nights.md; 1,000 random ones in virtual time
	$(GO) test -tags nights -run TestPeerNights -count=1 -timeout 20m ./bridge -args -update
	BRIDGE_NIGHTS=1000 $(GO) test -run TestRandomNights -count=1 -timeout 20m ./bridge

lint: ## vet, golangci-lint and module hygiene
	$(GO) vet ./...
	$(GO) vet -tags interop,nights ./...
	$(GO) mod tidy -diff
	$(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION) run ./...

interop: ## the simulator against unmodified clients (needs node and npm)
	$(GO) test -tags interop -count=1 -v ./bridge/sim/interop/

bench: ## benchmarks; figures are ratios within one run
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: ## each fuzz test for ten seconds
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime 10s $$p || exit 1; \
	  done; \
	done

clean: ## what the targets above made
	rm -rf bin
