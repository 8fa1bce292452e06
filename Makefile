# Everything a change needs: `make` lists it, `make check test` decides it.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
FUZZTIME    ?= 5s

# One set of flags for every build, vet and analysis: another set would compile all the dependencies once more.
export CGO_ENABLED := 0
export GOFLAGS     := $(strip $(filter-out -trimpath,$(shell go env GOFLAGS)) -trimpath)

TOOL := go tool -modfile=tools/go.mod
LINK := -ldflags '-s -w'

.PHONY: help run build console browser test check bench proof fuzz unit stories clients compat packages release image kube-up kube-down kubectl test-kube

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: console ## build lanyard and start the walk-through (needs Go alone; with Node.js it has the console)
	@echo 'building lanyard; the first time compiles every dependency, which takes one to three minutes'
	@go build -v $(LINK) -o bin/lanyard ./cmd/lanyard
	@exec bin/lanyard dev

build: console ## bin/lanyard, bin/lanyard-agent and bin/lanyard-connector, static
	go build $(LINK) -o bin/lanyard ./cmd/lanyard
	go build $(LINK) -o bin/lanyard-agent ./cmd/lanyard-agent
	go build $(LINK) -o bin/lanyard-connector ./cmd/lanyard-connector

# What lanyard embeds. Without Node.js it says how to get it, and the programs are without it.
console:
	@console/build

test: unit stories clients browser packages chart ## unit tests, the stories of the CLI, other people's clients, the console in a browser, what a release holds, the chart

# The race detector is spent on the rooms, which are what runs concurrently. The embedded S3 server and the programs
# around the rooms are compiled without it: they would add minutes, and the rooms inside them have had it.
PLAIN := /(dev|cmd|bench)(/|$$)

unit:
	test/system-packages
	rooms=$$(go list ./... | grep -vE '$(PLAIN)|/test/'); \
	CGO_ENABLED=1 go test -race -shuffle=on $$rooms
	all=$$(go list ./...); \
	plain=$$(grep -E '$(PLAIN)' <<<"$$all" | grep -v '/cmd/lanyard$$' || true); \
	if [ -n "$$plain" ]; then go test -shuffle=on $$plain; fi

# Stories and clients run in a network namespace of their own: a wrong variable then sends nobody's token anywhere.
stories: build
	test/system-packages
	go test -count=1 -shuffle=on -exec '$(CURDIR)/test/netns' ./cmd/lanyard

DRIVE   := go test -count=1 -shuffle=on -timeout 20m -exec '$(CURDIR)/test/netns' ./test/clients
CLIENTS := $(CURDIR)/bin:$(CURDIR)/.tools/venv/bin

clients: build
	test/setup
	PATH="$(CLIENTS):$$PATH" $(DRIVE) -skip '^TestCompat'
	go test -count=1 -exec '$(CURDIR)/test/netns' ./test/policies

# Each file has servers and a browser of its own, which wait for each other: with three at a time, two cores are busy.
# UPDATE=1 makes the pictures of the README anew.
browser: export UPDATE := $(UPDATE)
browser: ## the console, in a browser
	test/system-packages browser
	console/build required
	go build $(LINK) -o bin/lanyard ./cmd/lanyard
	test/setup browser
	test/netns node --test --test-concurrency=3 test/console/*.test.mjs

# The second `aws` gets a run of its own, in which it is the one in PATH.
compat: export TRIED_RESULTS := $(CURDIR)/.tools/results
compat: export TMPDIR := /tmp
compat: build ## every client, before a release; UPDATE=1 writes the table of what they saw (needs root)
	test/setup compat
	rm -rf $(TRIED_RESULTS) && mkdir -p $(TRIED_RESULTS)
	PATH="$(CLIENTS):$$PATH" $(DRIVE) -skip '^TestCompat(Table|Oldest)$$'
	PATH="$(CURDIR)/test/debian13:$(CLIENTS):$$PATH" $(DRIVE) -run '^TestAWSCLI$$'
	PATH="$(CLIENTS):$$PATH" $(DRIVE) -run '^TestCompat(Table|Oldest)$$' $(if $(UPDATE),-update)

# What `release` and `image` make, of this machine's kind alone, and the units that go with it.
packages: build
	test/system-packages
	test/units
	go -C tools test -count=1 -shuffle=on ./pack

# A Kubernetes of two nodes on this machine, in namespaces that nothing leads out of: CONTRIBUTING.md tells how to use it.
kube-up: ## start the test cluster (needs root; the first time builds Kubernetes, 4 to 7 minutes)
	test/kube/cluster up

kube-down: ## end the test cluster, and all that it left
	test/kube/cluster down

kubectl: ## in the test cluster: make kubectl ARGS='get pods -A'
	@test/kube/cluster run kubectl $(ARGS)

test-kube: export TMPDIR := /tmp
test-kube: build ## Lanyard in a real cluster (needs root); RUN=Guide picks tests by name
	test/kube/cluster build
	test/kube/cluster images
	go -C test/kube test -count=1 -timeout 30m -exec '$(CURDIR)/test/kube/cluster during' -run '$(RUN)' .

# Renders the Helm chart as Helm does, and compares it with what `lanyard join` applies.
chart:
	go -C deploy/helm/test test -count=1 -shuffle=on .

release: ## archives, checksums and bills of materials, into dist/
	console/build required
	go -C tools run ./pack archives .. ../dist

image: ## OCI images of the three programs, into dist/: no container engine is needed
	console/build required
	go -C tools run ./pack images .. ../dist

check: ## format, vet, staticcheck, errcheck, tidy, floors, and the build for macOS
	@out=$$($(TOOL) gofumpt -l .); \
	if [ -n "$$out" ]; then echo "not in gofumpt's form:"; echo "$$out"; exit 1; fi
	go mod tidy -diff
	go test -count=1 .
	go vet ./...
	$(TOOL) staticcheck ./...
	$(TOOL) errcheck -exclude tools/errcheck.txt ./...
	cd tools && go mod tidy -diff && go vet ./... && go tool staticcheck ./... && go tool errcheck ./...
	cd deploy/helm/test && go mod tidy -diff && go vet ./...
	cd test/kube && go mod tidy -diff && go vet . ./pause ./probe
	cd bench/peers && go mod tidy -diff && go vet .
	cd test/clients/oldest/go && go mod tidy -diff && go vet .
	cd test/clients/minio && go mod tidy -diff && go vet .
	GOOS=darwin go build ./...

bench: ## Lanyard, the peer or the floor, and their ratio, from one run
	go run ./bench
	cd bench/peers && go run .

# What `make test` does in small: 5 GiB up in one piece, up in parts and down, and a thousand clients at once, through a
# gateway's process, whose memory is told. The store in it keeps nothing, so no disk is needed.
proof: export LANYARD_PROOF_MIB := 5120
proof: export LANYARD_PROOF_CLIENTS := 1000
proof: build ## 5 GiB and 1,000 clients through a gateway in bounded memory
	test/system-packages
	go test -count=1 -v -timeout 60m -exec '$(CURDIR)/test/netns' ./cmd/lanyard -run '^TestProof'

fuzz: ## each fuzz target for FUZZTIME (5s)
	test/fuzz $(FUZZTIME)
