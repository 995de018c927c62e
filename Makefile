# SPDX-License-Identifier: GPL-2.0
#
# `make help` lists the targets; the work is done in scripts/.

KDIR ?= build/kernel/test
OUT ?= build/modules/test
# Minutes.
T ?= 10

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## boot Debian's kernel, store real data in zram and zswap, check it, report; KERNEL=7.3|test|cloud, ARCH=arm64, ALLOC=c
	@scripts/run

.PHONY: test
test: ## all tests, on the host, in the guest, on Debian's kernel; last line: N passed, N failed
	@scripts/test

.PHONY: test-full
test-full: ## the guest's tests with KASAN, lockdep, KCSAN, ...: hours; CONFIGS="debug kcsan" chooses
	@scripts/test-full $(CONFIGS)

.PHONY: soak
soak: ## make soak T=<minutes>, 10: swap on zswap and zram, every byte checked, and the ledger
	@T="$(T)" scripts/soak

.PHONY: test-install
test-install: ## the package of make deb in a whole Debian 13 in QEMU, with its own kernel (as root)
	@scripts/test-install

.PHONY: bench
bench: ## compare with the kernel's own allocator: table, JSON, plots in build/bench
	@scripts/bench/main

.PHONY: fuzz
fuzz: ## look for operations that break the engine, guided by coverage: make fuzz T=<minutes>, 10
	@scripts/setup fuzz
	@rust/host/fuzz/run $$(($(T) * 60))

.PHONY: mutants
mutants: ## are faults noticed: one in the source at a time; last line: N mutants, N noticed
	@set -f; scripts/mutants $(MUTANTS)

.PHONY: shell
shell: ## the same guest with the modules loaded and a prompt; KERNEL=test|cloud, ARCH=arm64, ALLOC=c
	@scripts/shell

.PHONY: setup
setup: ## install the Debian packages and bindgen, if any is missing
	@scripts/setup

.PHONY: kernel
kernel: ## fetch, configure and build the kernel of the tests
	@scripts/setup
	@scripts/kernel-build

.PHONY: modules
modules: ## build the modules: make modules KDIR=<kernel build tree> OUT=<folder>
	@scripts/build-modules "$(KDIR)" "$(OUT)"

.PHONY: modules_install
modules_install: ## install them for that kernel under updates/, for modprobe
	@scripts/build-modules --install "$(KDIR)" "$(OUT)"

.PHONY: deb
deb: ## zsmalloc-rs-dkms_<version>_all.deb for Debian 12 and 13, in build/deb
	@scripts/deb

.PHONY: list-corruption
list-corruption: ## how a zspage put back twice made "next is NULL" in 2023, case by case
	@scripts/list-corruption/main

.PHONY: check
check: ## is the tree in order: formatting, lints, licenses, commits; N passed, N failed
	@scripts/setup check
	@scripts/kernel-build
	@scripts/check

.PHONY: doc
doc: ## HTML of Documentation/ and of the source's own, in build/doc
	@scripts/setup doc
	@scripts/doc

.PHONY: rust-analyzer
rust-analyzer: ## write rust-project.json, for editors
	@scripts/setup
	@scripts/kernel-build
	@scripts/rust-analyzer

.PHONY: zsview
zsview: ## where the memory of this machine's pools is (as root); ARGS=--watch
	@scripts/zsview $(ARGS)

.PHONY: clean
clean: ## remove what was built, but keep kernels, tools and the results of bench, soak, fuzz, test-full
	@rm -rf build/modules build/guest build/run build/test build/shell build/log build/doc build/check build/list-corruption
	@rm -rf build/fuzz/target build/loom build/mutants
	@rm -rf build/install rust/host/target

.PHONY: distclean
distclean: ## remove everything that was built
	@rm -rf build rust/host/target rust/host/fuzz/target rust-project.json
