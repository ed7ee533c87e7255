# The targets that a person types. `make test` is all of it, and what CI runs.
GO ?= go
BIN := bin/stormdoor
# Debian packages that the tests need: real servers and real clients.
PACKAGES := nginx-light haproxy curl nghttp2-client wrk strace

# Properties are checked with values drawn from this seed, so that a test run judges the change and not its luck; `make explore`
# draws anew.
export RAPID_SEED ?= 1

.PHONY: build test unit race clients oracle waf-oracle waf-scores e2e lint fuzz explore drill bench bench-slow bench-origin bench-waf simulate tools generate clean storms

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/stormdoor

test: lint race oracle e2e fuzz storms

# The tests that need only Go, in under a minute.
unit:
	$(GO) test ./...

race:
	$(GO) test -race -timeout 15m ./...
	$(GO) test -race ./internal/wire -args -loops=false
	$(GO) test -race -tags otel ./internal/loop/observe
	$(GO) test -run Alloc ./internal/gate/rule ./internal/gate/waf ./seclang/... # what cannot be counted with the race detector

# The SecLang engine beside Coraza, which it is to agree with.
oracle:
	$(GO) test -tags oracle,coraza.rule.case_sensitive_args_keys ./seclang/...

# The built binary between real clients and real origins.
e2e: build tools
	STORMDOOR=$(CURDIR)/$(BIN) $(GO) test -tags e2e -count 1 -timeout 10m ./e2e/... ./internal/gate/listen/... ./internal/drill/...

# Whole exchanges beside Coraza at every paranoia level, with mutations: an hour or more.
MUTATIONS ?= 20000
waf-oracle:
	$(GO) test -tags oracle,coraza.rule.case_sensitive_args_keys -timeout 6h -run Oracle ./seclang -levels 1,2,4 -mutations $(MUTATIONS)

# The end-to-end tests with large clients too (a browser, package managers), and a gigabyte each way at 1 MB/s: 20 minutes.
clients: build
	.ci/tools $(PACKAGES) chromium npm dpkg-dev
	STORMDOOR=$(CURDIR)/$(BIN) STORMDOOR_LONG=1 $(GO) test -tags e2e -count 1 -timeout 40m -run 'ThroughTheDoor|Chromium|Gigabyte' ./e2e

# What the firewall finds and whom it hurts, by its defaults: in its own corpora, and in recorded requests
# (*/*.jsonl, */*.jsonl.gz) under the folder CASES. SHOW=missed or SHOW=false lists the wrong verdicts.
waf-scores:
	STORMDOOR_WAF_CASES=$(CASES) STORMDOOR_WAF_SHOW=$(SHOW) $(GO) test -count 1 -v -run TestScores ./internal/gate/waf -args -scores

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt-ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e,otel,oracle ./...

# Each parser of bytes from outside, for a few seconds; FUZZTIME=1h for long.
FUZZTIME ?= 5s
fuzz:
	.ci/fuzz $(FUZZTIME)

# What no run has tried before: the fuzz targets, and every property with many values from a new seed. A finding names its input,
# which becomes a case of a test or of a corpus.
explore: fuzz
	RAPID_SEED=0 RAPID_CHECKS=$(CHECKS) $(GO) test -count 1 -timeout 60m -tags oracle,coraza.rule.case_sensitive_args_keys \
		$$(git grep -l pgregory.net/rapid -- '*_test.go' | xargs -n 1 dirname | sort -u | sed 's,^,./,')
CHECKS ?= 2000

# Every storm and fault, each for ten seconds; it fails when a law is broken, and half a minute confirms it.
storms: build
	$(BIN) drill --seconds 10 --confirm --markdown bin/storms.md

# Every storm and fault, long enough for figures to rely on: about half an hour.
drill: build tools
	$(BIN) drill --seconds 30 --confirm --compare nginx,haproxy --markdown bin/drill.md --html bin/drill.html --json bin/drill.json

bench:
	bench/run

# What the wire costs beside nginx, HAProxy and, where it is installed, Caddy, with the bounds that it has.
.PHONY: bench-wire
bench-wire:
	bench/run -wire

# A normal visitor beside slow clients: one case of the benchmark.
bench-slow:
	bench/run slow

# What visitors get and the origin bears in a storm, beside nginx and HAProxy. STORM='-for 60s' for long.
bench-origin: build
	$(GO) run ./bench/storm -door $(BIN) $(STORM)

# A day of steady load, simulated: nobody may be refused.
simulate:
	SIMULATED=24h $(GO) test -count 1 -v -run TestSteadyDay ./internal/gate/origin/admission

# The SecLang engine beside Coraza, on one processor: BENCHTIME=2s for steadier figures. Then the whole door with the firewall
# beside nginx with ModSecurity and the same rules, and Caddy with Coraza where CADDY names one that has it.
BENCHTIME ?= 0.5s
bench-waf: build
	bench/waf $(BENCHTIME)
	.ci/tools nginx-light libnginx-mod-http-modsecurity
	$(GO) run ./bench/wafdoor -door $(BIN) -caddy "$(CADDY)"

# What the end-to-end tests need, installed when it is missing.
tools:
	.ci/tools $(PACKAGES)

generate:
	$(GO) generate ./...

clean:
	rm -rf bin dist
