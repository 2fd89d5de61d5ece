# make demo [MINUTES=2]   a city, 200 drivers and their riders, on the embedded stores
# make test               everything that the tests need, then all checks and tests
# make chaos [MINUTES=15] [SEED=n]   faults on a cluster of real servers, judged by what its clients were told
# All set up .venv by themselves and are quick the second time.
.PHONY: help setup demo test chaos unit check docs lock lock-java bench clean
.DEFAULT_GOAL := help
SHELL := bash

# engines and tests start many processes, which must not compile every module anew
unexport PYTHONDONTWRITEBYTECODE

MINUTES ?=
SEED ?=
CHAOS_ARGS ?=
DEMO_ARGS ?=

help:
	@sed -n '1,4p' Makefile | cut -c3-

setup:
	@tools/setup run

demo: setup
	.venv/bin/hexcab demo $(if $(MINUTES),--minutes $(MINUTES)) $(DEMO_ARGS)

test:
	@tools/setup dev
	@tools/setup services
	$(MAKE) --no-print-directory check
	.venv/bin/python -m pytest -n 2 -m "not slow"
	.venv/bin/python -m tests.servers .venv/bin/python -m pytest -m slow

chaos:
	@tools/setup dev
	.venv/bin/python -m tests.simulation $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(CHAOS_ARGS)

# the unit part alone: no child servers, no cities
unit:
	@tools/setup dev
	.venv/bin/python -m pytest -n 2 -m "not slow"

check:
	@tools/setup dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/mkdocs build --strict 2>&1 | tail -n 5; exit $${PIPESTATUS[0]}

docs:
	@tools/setup dev
	.venv/bin/mkdocs serve

# write the lock files anew from requirements/*.in
lock:
	@tools/setup dev
	for each in bootstrap run dev peers; do \
	  .venv/bin/uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-emit-index-url --no-header \
	    $$([ $$each = dev ] && echo "-c requirements/run.txt"; [ $$each = peers ] && echo "-c requirements/dev.txt") \
	    $(LOCK_ARGS) requirements/$$each.in -o requirements/$$each.txt || exit 1; \
	done

# write the checksums of the Java servers' files anew
lock-java:
	tools/lock-java

bench:
	@tools/setup peers
	.venv/bin/python -m benchmarks $(NAME)

clean:
	rm -rf .venv site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
