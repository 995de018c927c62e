# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Concurrent kernel threads on the allocator that check every byte, see
# rust/kunit/stress.c, with background load.

noise_on() {
	noise memory noise_of_memory
	noise readers noise_of_readers
	# Not every kernel and machine has these.
	if [ -d $DEBUGFS/shrinker ]; then
		noise shrinkers noise_of_shrinkers 'stress*'
	fi
	if [ -n "$(other_cpus)" ]; then
		noise cpus noise_of_cpus
	fi
}

# Run the stress test. $WORK/stress gets the digest of its steps and its ledger.
stress() {
	local rc=0
	insmod "$(ours zsmalloc_stress)" "$@" || rc=$?
	dmesg | grep -o 'zsmalloc_stress: .*' | tail -n 8 >$WORK/stress
	[ $rc -eq 0 ] || {
		cat $WORK/stress
		fail "stress $*"
	}
	unload zsmalloc_stress
}

noisy_stress() {
	load_allocator
	noise_on
	stress "$@"
	noise_off
}

test_one_pool() {
	noisy_stress seed=1 pools=1
}

test_several_pools() {
	noisy_stress seed=2 pools=3 compactors=2
}

test_a_pool_for_each() {
	noisy_stress seed=3 pools=0 compactors=2
}

# With few objects, zspages are allocated and freed all the time.
test_few_objects() {
	noisy_stress seed=4 pools=1 objects=12 threads=3
}

test_same_seed_same_steps() {
	load_allocator
	stress seed=5 ops=4000
	grep -o 'seed .*' $WORK/stress | tail -n 1 >$WORK/steps
	[ -s $WORK/steps ] || fail "no steps"
	noise_on
	stress seed=5 ops=4000
	noise_off
	grep -o 'seed .*' $WORK/stress | tail -n 1 | diff $WORK/steps - ||
		fail "the steps differ"
	stress seed=6 ops=4000
	grep -o 'digest .*' $WORK/stress | tail -n 1 >$WORK/digest
	[ -s $WORK/digest ] || fail "no digest"
	if grep -qFf $WORK/digest $WORK/steps; then
		fail "the seed changes nothing"
	fi
}
