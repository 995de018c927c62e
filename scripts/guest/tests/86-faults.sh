# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Every allocation of an operation fails once: the first, then the second, and so
# on, until none is left. See zs_fault.c.

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/80-kunit.sh"

# Set up fault injection for any kind of allocation. False if the kernel cannot
# filter by call trace.
faults_possible() {
	local d
	for d in failslab fail_page_alloc; do
		cd $DEBUGFS/$d || fail "the kernel has no $d"
		echo 0 >verbose
		echo N >ignore-gfp-wait
		[ ! -e ignore-gfp-highmem ] || echo N >ignore-gfp-highmem
		[ ! -e min-order ] || echo 0 >min-order
		[ ! -e cache-filter ] || echo N >cache-filter
		cd /
	done
	faults_below 0 ffffffffffffffff
}

# Skip the test unless allocations of other code can be excluded.
needs_filter() {
	if ! faults_possible; then
		echo "needs the flavour faults" >$WORK/skip
		exit 0
	fi
}

# Let only allocations fail whose call trace has an address in this range.
faults_below() {
	local d
	for d in failslab fail_page_alloc; do
		[ -e $DEBUGFS/$d/require-start ] || return 1
		echo "0x$1" >$DEBUGFS/$d/require-start
		echo "0x$2" >$DEBUGFS/$d/require-end
	done
}

# The range is a kernel function.
faults_below_function() {
	local range
	range=$(grep -A1 " $1\$" /proc/kallsyms | awk '{ print $1 }')
	# shellcheck disable=SC2086 # two words
	faults_below $range
}

# The range is the code of a module.
faults_below_module() {
	local range
	range=$(awk -v m="[$1]" '$4 == m && tolower($2) == "t" { print $1 }' /proc/kallsyms |
		sort | sed -n '1p; $p')
	# The size of the last function is not known.
	# shellcheck disable=SC2086 # two words
	set -- $range
	faults_below $1 "$(printf %x $((0x$2 + 4096)))"
}

# Make each allocation of a system call fail in turn, and undo the call if it succeeds.
# Add the number of failed allocations to $failed, and of calls that succeeded in
# spite of one to $survived.
# usage: fail_each ERRNO UNDO zs_fault's operation...
fail_each() {
	local errno=$1 undo=$2 n answer pages
	shift 2
	pages=$(vmstat nr_zspages)
	for n in $(seq 1 3000); do
		answer=$(zs_fault $n "$@") || fail "zs_fault $n $*"
		case $answer in
		"hit $errno") ;;
		"hit 0")
			survived=$((survived + 1))
			$undo
			;;
		"miss 0")
			$undo
			break
			;;
		*) fail "$*: allocation $n failed: $answer" ;;
		esac
		[ "$(vmstat nr_zspages)" -eq "$pages" ] ||
			fail "$*: allocation $n: nr_zspages was $pages, is $(vmstat nr_zspages)"
	done
	[ "$answer" = "miss 0" ] || fail "$*: still allocates after 3000 failures"
	failed=$((failed + n - 1))
}

# usage: fail_report WHAT AT_LEAST
fail_report() {
	note "$1: $failed allocations failed, $survived of them without an error"
	[ $failed -ge $2 ] || fail "$1: $failed allocations failed, not $2"
	failed=0 survived=0
}

failed=0
survived=0

test_kunit() {
	load_allocator
	faults_possible || :
	kunit "zsmalloc_faults*"
	# Each case checks how many failed, unless it was skipped.
	if grep 'fault injection is off' $WORK/ktap; then
		fail "fault injection is off"
	fi
	grep -q 'zs-test: fault points hit: [1-9]' $WORK/ktap || fail "no allocation failed"
}

test_module_load() {
	local m
	needs_filter
	faults_below_function do_one_initcall
	# The slab allocator warns when it cannot create a cache.
	expect_begin '(kmem_cache_create\w*\(zs\w+\) failed with error -12$|kobject_add_internal failed for zsmalloc_rs \(error: -12)'
	for m in zsmalloc_rs zsmalloc_c zsmalloc; do
		if [ -e "$(ours $m)" ]; then
			fail_each 12 "rmmod $m" insmod "$(ours $m)"
			not_loaded $m || fail "$m is loaded"
			load "$(ours $m)"
		fi
	done
	expect_end
	fail_report "loading" 10
	load_zram 1
	zram_setup zram0 $((4 << 20))
	blk copy /dev/zram0 $((4 << 20))
	blk verify /dev/zram0 $((4 << 20))
}

in_use() {
	load_allocator
	load_zram 2
	zram_setup zram0 $((4 << 20))
	blk copy /dev/zram0 $((4 << 20))
}

still_works() {
	blk verify /dev/zram0 $((4 << 20))
	blk copy /dev/zram0 $((4 << 20))
	blk verify /dev/zram0 $((4 << 20))
}

test_zram_setup() {
	needs_rust
	in_use
	needs_filter
	faults_below_module zsmalloc_rs
	allow_begin 'kobject_add_internal failed for zram1 \(error: -12'
	fail_each 12 "zram_reset zram1" write /sys/block/zram1/disksize 4194304
	allow_end
	fail_report "zram device set up" 10
	still_works
}

test_zram_write() {
	needs_rust
	in_use
	needs_filter
	faults_below_module zsmalloc_rs
	zram_setup zram1 $((4 << 20))
	for block in $(seq 0 9); do
		# zram retries with other flags, so most writes succeed.
		fail_each 5 "blkdiscard /dev/zram1" block /dev/zram1 $block
	done
	fail_report "write to zram" 10
	still_works
}

test_cpu_online() {
	needs_rust
	in_use
	needs_filter
	faults_below_module zsmalloc_rs
	local cpu=/sys/devices/system/cpu/cpu1/online
	for _ in 1 2 3; do
		echo 0 >$cpu
		fail_each 12 : write $cpu 1
		[ "$(cat $cpu)" = 1 ] || fail "cpu1 is not back"
		# Map on that CPU.
		taskset 2 zs_blk verify $DATA /dev/zram0 $((4 << 20)) || fail "on cpu1"
		still_works
	done
	fail_report "cpu1 online" 3
}
