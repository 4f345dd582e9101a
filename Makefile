# `make run` and `make test` are all one needs; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PORT ?= 8080
ADMIN ?= localhost:2019
PKG ?= ./...
FUZZ ?= 1m
SOAK ?= 10m
SUBJECT ?=

GOLANGCI_VERSION := v2.15.0
XCADDY_VERSION := v0.4.5
CADDY_VERSION := v2.11.9
TOOLS := $(CURDIR)/.tools

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | \
		while IFS=$$'\t' read -r name text; do printf '  make %-8s %s\n' "$$name" "$$text"; done
	@printf '\n  PORT=8080 ADMIN=localhost:2019   where `make run` listens\n'
	@printf '  PKG=./watcher                    what `make test` tests\n'
	@printf '  SUBJECT=resilience               what `make bench` measures alone: breaker, hub, outage, resilience, storage or watch\n'

.PHONY: build
build: ## build bin/caddy: Caddy with this module
	@echo 'Building bin/caddy. The first build compiles all of Caddy: about 4 minutes on two cores.'
	@go build -o bin/caddy ./cmd/caddy

.PHONY: run
run: ## build it and serve examples/Caddyfile
	@scripts/check-ports "$(PORT)" "$(ADMIN)"
	@$(MAKE) --no-print-directory build
	@exec scripts/run "$(PORT)" "$(ADMIN)"

.PHONY: test
test: ## run every test; installs what the tests need
	@scripts/need redis-server
	@unshare -Urm true || echo 'Skipped, as unshare -Urm is refused here: the watch limit and unmounting (behaviours 36 and 37 of ./watcher).'
	@echo 'Building with the race detector. The first time takes about 6 minutes on two cores.'
	go test -race -timeout 20m $(PKG)
ifneq (,$(filter ./... ./web,$(PKG)))
	@$(MAKE) --no-print-directory test-web
endif
ifneq (,$(filter ./... ./breaker,$(PKG)))
	go test -race -tags interleave -run Linearizable ./breaker
	cd bench && go test -timeout 1m ./...
endif

.PHONY: test-web
test-web: build web/node_modules ## run the tests of the browser client and the dashboard, in Node and in a real Chromium
	@scripts/need chromium
	@scripts/need redis-server
	cd web && npm test && npm run test:browser

web/node_modules: web/package-lock.json
	@scripts/need npm
	cd web && npm ci --no-audit --no-fund
	@touch $@

.PHONY: web
web: web/node_modules ## build web/client/dist and web/dashboard/dist, which are committed
	cd web && npm run build

.PHONY: bench
bench: ## measure us beside others and write it into docs/ (45 minutes)
	@scripts/need redis-server
	@scripts/need npm
	@scripts/need nginx
	cd bench && go run ./report $(SUBJECT)

.PHONY: mutants
mutants: ## break breaker and delivery on purpose and see their tests notice
	@scripts/need redis-server
	go test -tags mutants -run MutantsAreCaught ./breaker ./events/delivery

.PHONY: fuzz
fuzz: ## run every fuzz target, each for FUZZ (1m)
	@scripts/fuzz $(FUZZ)

.PHONY: soak
soak: ## break Redis, network, disks, nodes and watchers at random for SOAK (10m) and longer
	@scripts/need redis-server
	LIFELINE_SOAK=$(SOAK) go test -race -timeout 0 -run Soak -v -p 1 ./storage/resilient/matrix ./events/matrix
	LIFELINE_SOAK=$(SOAK) go test -race -timeout 0 -run Soak -v ./events/delivery ./watcher
	LIFELINE_SOAK=$(SOAK) go test -race -timeout 0 -run Soak -v .

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) ## check style and common mistakes
	@scripts/no-skips
	go mod tidy -diff
	$< run --allow-parallel-runners ./...
	cd bench && go mod tidy -diff && $< run --allow-parallel-runners ./...

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) ## format the code
	$< fmt ./...
	cd bench && $< fmt ./...

.PHONY: xcaddy
xcaddy: $(TOOLS)/xcaddy-$(XCADDY_VERSION) ## build bin/caddy-xcaddy the way users do
	@echo 'Building with xcaddy. The first build takes about 4 minutes on two cores.'
	$< build $(CADDY_VERSION) --output bin/caddy-xcaddy --with github.com/actionflows/lifeline@v0.0.0=.
	bin/caddy-xcaddy list-modules | grep lifeline

.PHONY: clean
clean: ## remove what was built
	rm -rf bin .tools web/node_modules

$(TOOLS)/golangci-lint-$(GOLANGCI_VERSION):
	@echo 'Building golangci-lint $(GOLANGCI_VERSION), about 2 minutes on two cores.'
	@GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(TOOLS)/golangci-lint $@

$(TOOLS)/xcaddy-$(XCADDY_VERSION):
	@GOBIN=$(TOOLS) go install github.com/caddyserver/xcaddy/cmd/xcaddy@$(XCADDY_VERSION)
	@mv $(TOOLS)/xcaddy $@
