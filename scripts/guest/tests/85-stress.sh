# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Concurrent kernel threads on the allocator that check every byte, see
# rust/kunit/stress.c, with background load.

noise_on() {
	noise memory noise_of_memory
	# Not every kernel and machine has these.
	if [ "$ALLOC" = rust ] || [ -d $DEBUGFS/zsmalloc ]; then
		noise readers noise_of_readers
	fi
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

# With noise, of which each has to do something. It may take a second or less, in which one
# of them gets no round, so this is repeated.
stress_amid_noise() {
	local runs=1
	noise_on
	stress "$@"
	until noise_did || [ $runs -ge 20 ]; do
		stress "$@"
		runs=$((runs + 1))
	done
	noise_off
}

noisy_stress() {
	load_allocator
	stress_amid_noise "$@"
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

# See rust/kunit/stress_bad.c. Warnings are counted from each mark to the next.
test_bad_reads() {
	needs_rust
	# It may be the drop-in that has it.
	load_allocator
	if ! grep -qw zs_obj_read_begin /proc/kallsyms; then
		echo "the kernel has no zs_obj_read_begin()" >$WORK/skip
		return
	fi
	insmod "$(ours zsmalloc_stress)" bad=Y || fail "stress bad=Y"
	unload zsmalloc_stress
	local calls
	calls=$(dmesg | sed -n 's/.*zsmalloc_stress: bad: \([0-9]*\) calls$/\1/p' | tail -n 1)
	note "bad calls: $calls"
	[ "$calls" -gt 0 ] || fail "no call"
	dmesg | awk -v calls="$calls" '
		/zs-test: expect-begin pool stress-bad/ { warned = told = 0; of = $0
			sub(/.*expect-begin /, "", of); sub(/\\\(.*/, "(", of) }
		/WARNING: / { warned++ }
		index($0, "zsmalloc_rs: " of) { told++ }
		/zs-test: expect-end/ && of { n++
			if (warned != 1 || told != 1) { print of ": " warned " warnings, " told " of it"; bad = 1 }
			of = "" }
		END { if (n != calls) { print n " of " calls " calls are in the log"; bad = 1 }
			exit bad }' || fail "not one warning for each"
}

test_same_seed_same_steps() {
	load_allocator
	stress seed=5 ops=4000
	grep -o 'seed .*' $WORK/stress | tail -n 1 >$WORK/steps
	[ -s $WORK/steps ] || fail "no steps"
	stress_amid_noise seed=5 ops=4000
	grep -o 'seed .*' $WORK/stress | tail -n 1 | diff $WORK/steps - ||
		fail "the steps differ"
	stress seed=6 ops=4000
	grep -o 'digest .*' $WORK/stress | tail -n 1 >$WORK/digest
	[ -s $WORK/digest ] || fail "no digest"
	if grep -qFf $WORK/digest $WORK/steps; then
		fail "the seed changes nothing"
	fi
}
