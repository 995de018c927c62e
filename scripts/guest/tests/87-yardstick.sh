# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Two tests with numbers that others use, too: objects in steps of 1 to 127 bytes, 182
# of each size; and 24 threads with 0, 1 and several pools, from one seed.

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/85-stress.sh"

test_182_objects_of_each_size() {
	local first=1
	! is_slow || first=32
	# With larger pages there are more sizes, and each takes more bytes.
	[ $PAGE_SIZE -eq 4096 ] || first=$((128 - (1 << 33) / PAGE_SIZE / PAGE_SIZE))
	load_allocator
	stress fill=182 first=$first workers=2 movers=0 churners=0 readers=0
	grep -o '[0-9]* objects, 182 of each .*' $WORK/stress >$WORK/fill || fail "nothing was filled"
	note "$(cat $WORK/fill)"
}

# usage: threads_on POOLS; 0 is a pool for each thread
threads_on() {
	local ops=12000
	! is_slow || ops=4000
	load_allocator
	stress_amid_noise seed=20251130 workers=24 pools=$1 ops=$ops objects=200 compactors=2
	grep -o '24 workers, .*' $WORK/stress >$WORK/said || fail "no 24 workers"
	note "$(cat $WORK/said)"
}

test_24_threads_with_a_pool_each() {
	threads_on 0
}

test_24_threads_on_one_pool() {
	threads_on 1
}

test_24_threads_on_five_pools() {
	threads_on 5
}
