# Ballast on a bare Debian 12: `make run`, `make test`. Everything else is in `make help`.
SHELL := /bin/bash
.DEFAULT_GOAL := help

JOBS   ?= $(shell nproc)
LISTEN ?=
CONFIG ?=
ARGS   ?=
INTENTS ?= ../shared/data/intents
QUESTIONS ?= ../shared/data/text-to-sql

BALLAST := build/release/src/ballast

.PHONY: help run build deb test bench eval eval-intents eval-questions profile lint format extended fuzz chaos real docs deps clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  LISTEN=ADDRESS:PORT  CONFIG=ballast.yaml  ARGS=…  JOBS=$(JOBS)  OFFLINE=1 (make test: no SDK tests)"

run:  ## install what is missing, build, start the gateway on 127.0.0.1:8080 (or LISTEN)
	@tools/deps.sh build
	@tools/build.sh release ballast
	@exec $(BALLAST) serve $(if $(LISTEN),--listen $(LISTEN)) $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

build:  ## release build of the binary, the tests and the benchmarks
	@tools/deps.sh test
	@tools/build.sh release

deb:  ## build/deb/ballast_VERSION_ARCHITECTURE.deb: the service, its unit, manual pages
	@tools/deps.sh package
	@tools/build.sh release ballast
	@tools/deb.sh

test:  ## every test: the unit suite under AddressSanitizer, what computes optimised too, end to end, official SDKs
	@tools/deps.sh test
	@tools/test.sh

bench:  ## speed beside nginx, of jobs beside BullMQ and PostgreSQL, of schemas beside Ajv, printed as tables
	@tools/deps.sh test
	@tools/build.sh release
	@tools/bench.sh

eval-intents:  ## how well intents are told apart: CLINC150 and BANKING77, in INTENTS
	@tools/deps.sh build
	@tools/build.sh release ballast
	@python3 tools/eval_intents.py $(BALLAST) $(INTENTS)

eval:  ## every line of right answers beside what is demanded: schemas, tokens, intents, questions over data; exit code 1 if one does not hold
	@tools/deps.sh test
	@tools/build.sh release
	@python3 tools/eval.py $(ARGS)

eval-questions:  ## the share of real questions over data a model gets right: the one of `make real`, or ARGS="--model openai/gpt-5-mini"
	@tools/deps.sh build
	@tools/build.sh release ballast
	@python3 tools/eval_questions.py $(BALLAST) $(QUESTIONS) $(ARGS)

profile:  ## cmake/ballast.profdata anew: what releases are optimised by
	@tools/deps.sh test
	@tools/build.sh release
	@tools/profile.sh

lint:  ## floors, sizes, words; formatting of what changed
	@tools/deps.sh test
	@python3 tools/lint.py
	@tools/format.sh

extended:  ## ThreadSanitizer, long crash runs, soaks, short fuzzing of each target, the package in a clean root
	@tools/deps.sh extended
	@tools/extended.sh

fuzz:  ## libFuzzer on each target, FUZZ_SECONDS (60) each
	@tools/deps.sh build
	@tools/fuzz.sh

chaos:  ## three nodes and their database, with its replica, shaken for ten minutes and judged from outside; ARGS="--seed N" repeats a run
	@tools/deps.sh test
	@tools/build.sh release ballast
	@python3 tests/chaos/run.py --long $(ARGS)

real:  ## the gateway in front of a real model on this machine
	@tools/deps.sh test
	@tools/build.sh release ballast
	@tools/real-model/run

docs:  ## docs/ballast.schema.json and docs/api.md from the binary
	@tools/deps.sh test
	@tools/build.sh release ballast
	@tools/gen_docs.sh

deps:  ## only install what is missing
	@tools/deps.sh test

clean:  ## remove build/ and the packages of ui/
	rm -rf build ui/node_modules
