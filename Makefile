# Two commands matter to a newcomer: `make demo` and `make test`. `make help` lists the others.
SHELL := /bin/sh
PYTHON := .venv/bin/python
PYTEST := .venv/bin/pytest
.DEFAULT_GOAL := help
# Daemons that compile their source at each start take half as long again.
unexport PYTHONDONTWRITEBYTECODE

# Of bpf/tests, what an emulated machine does in minutes.
KERNEL61_TESTS = $(addprefix bpf/tests/,test_encapsulation.py test_flood.py test_neighbours.py test_floating.py \
	test_mirror.py test_mirror6.py test_outer6.py test_outer6_wire.py test_qos.py test_namespaces.py test_large_segments.py test_tunnels_of_workloads.py \
	test_unfinished_sums.py) -k 'not tcp and not segments_made and not segments_from and not restart and not no_larger \
	and not container and not different_encap and not (gets_it and True) and not ((sums or sockets) and [6-)'

CORES := $(shell nproc)
# System tests wait for daemons, leases and timers about half of their time (ADR 0335).
SYSTEM_PYTEST = $(PYTEST) -n $$((2 * $(CORES))) --dist loadfile --no-loadscope-reorder

PREFIX ?= /opt/skytrail
export PREFIX DESTDIR BASE

.PHONY: help setup install uninstall clients console demo test check static format lint types contracts fresh web unit system kernel61 nightly fuzz generate lock bench clean

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## install what is missing: Debian packages, locked Python environment, eBPF, lab guest
	@packaging/setup.sh

install: ## install on this machine: PREFIX (/opt/skytrail), systemd units, /etc/skytrail (DESTDIR=/FOLDER, an absolute path, for a trial)
	@packaging/install.sh install

uninstall: ## take the installation away; settings and state stay
	@packaging/install.sh uninstall

clients: ## install what interop tests drive: old clients and BGP decoders in environments of their own, BGP routers, exporters, a browser (after setup)
	@packaging/setup.sh clients peers router exporters browser

console: ## build the web console (part of setup; nothing is done when it is up to date)
	@console/build.sh

demo: setup ## set everything up and show isolated virtual networks carrying traffic (KEEP=1 leaves it running)
	@$(PYTHON) -m skytrail.lab.demo $(if $(KEEP),--keep)

test: setup clients check system ## set everything up and run every test, system tests in namespaces included

check: ## static checks beside unit and property tests
	@$(MAKE) --no-print-directory -j 2 static unit

static: format lint contracts fresh types web ## checks that run nothing

format: ## fail when a file is not formatted (fix: .venv/bin/ruff format)
	@.venv/bin/ruff format --check --quiet . || { echo 'run: .venv/bin/ruff format .'; exit 1; }

lint: ## ruff
	@.venv/bin/ruff check --quiet .

types: ## basedpyright, strict
	@.venv/bin/basedpyright --warnings

contracts: ## who may import whom
	@.venv/bin/lint-imports

fresh: ## fail when generated files are stale
	@$(PYTHON) -m skytrail.model.generate --check
	@$(PYTHON) bpf/generate_abi.py --check

web: ## types, lint and unit tests of the web console
	@console/build.sh check

unit: ## unit, property, golden, simulation and tidy tests
	@$(PYTEST) -n $(CORES) --dist worksteal tests/unit tests/property tests/golden tests/simulation tests/tidy

system: ## everything that needs root, the kernel or a real peer; two files a core at a time, those that take long first
	@$(SYSTEM_PYTEST) bpf/tests tests/interop tests/system

kernel61: setup ## load the datapath on Debian's own kernel 6.1, run single frames and traffic there (emulated: ten minutes of CPU)
	@$(PYTHON) bpf/other_kernel.py -- $(PYTEST) -p no:cacheprovider --color=no -vv --timeout 1200 $(KERNEL61_TESTS)

nightly: setup clients kernel61 ## the long versions: more seeds, larger examples
	@SKYTRAIL_NIGHTLY=1 $(PYTEST) -n $(CORES) --timeout 1800 tests/property tests/simulation
	@SKYTRAIL_NIGHTLY=1 $(SYSTEM_PYTEST) bpf/tests tests/interop tests/system

fuzz: ## Schemathesis against every type of the API, about half an hour (part of nightly)
	@SKYTRAIL_NIGHTLY=1 $(PYTEST) tests/interop/test_native_schemathesis.py

generate: ## rewrite every generated file from its source
	@$(PYTHON) -m skytrail.model.generate
	@$(PYTHON) bpf/generate_abi.py

lock: ## resolve dependencies anew (needs uv)
	uv pip compile pyproject.toml --group build --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url -o requirements.lock
	uv pip compile pyproject.toml --group build --group dev --group compat --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url -o requirements-dev.lock
	uv pip compile packaging/bgp-decoders.in --python-version 3.11 --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url -o packaging/bgp-decoders.lock
	uv pip compile packaging/contrail-api-cli.in --override packaging/contrail-api-cli.overrides --python-version 3.11 --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url -o packaging/contrail-api-cli.lock
	uv pip compile packaging/node.in --python-version 3.11 --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url -o packaging/node.lock

bench: setup ## benchmarks beside their yardsticks (NAME=datapath runs one)
	@$(PYTHON) -m bench $(NAME)

clean: ## remove what was built; the environment stays
	rm -rf build
