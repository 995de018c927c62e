# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# The tracepoints agree with the other counters.

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/86-faults.sh"

TRACING=/sys/kernel/tracing
EVENTS=$TRACING/events/zsmalloc_rs

trace_on() {
	[ -e $EVENTS/enable ] || fail "no tracepoints of zsmalloc_rs"
	echo 8192 >$TRACING/buffer_size_kb
	echo >$TRACING/trace
	echo 1 >$EVENTS/enable
}

# Copy the trace to $WORK/trace. No event may be lost.
trace_off() {
	echo 0 >$EVENTS/enable
	cat $TRACING/trace >$WORK/trace
	local kept
	kept=$(sed -n 's|^# entries-in-buffer/entries-written: ||p' $WORK/trace)
	[ "${kept%%/*}" -eq "$(echo ${kept#*/} | cut -d' ' -f1)" ] ||
		fail "events were lost: $kept"
}

# Sum of a field over all events of a name.
# usage: trace_sum EVENT FIELD
trace_sum() {
	awk -v e=" $1: " -v f="$2=" 'index($0, e) {
		for (i = 1; i <= NF; i++)
			if (index($i, f) == 1)
				s += substr($i, length(f) + 1)
	} END { print s + 0 }' $WORK/trace
}

# usage: trace_count EVENT [PATTERN]
trace_count() {
	grep " $1: " $WORK/trace | grep -cE "${2:-.}" || :
}

# usage: same WHAT ACTUAL EXPECTED
same() {
	[ "$2" -eq "$3" ] || fail "$1: the trace says $2, not $3"
}

two_pools() {
	load_without_background
	load_zram 2
	local z
	for z in zram0 zram1; do
		zram_setup $z $((16 << 20))
		blk copy /dev/$z $((16 << 20))
		blk scatter /dev/$z $((16 << 20)) 1:50:10
	done
}

test_compaction_is_traced() {
	needs_rust
	two_pools
	local freeable
	freeable=$(awk '$1 == "Total" { print $NF }' $DEBUGFS/zsmalloc_rs/zram0/classes)
	trace_on
	echo 1 >/sys/block/zram0/compact
	trace_off
	cat $WORK/trace
	same "starts" "$(trace_count zs_compact_start 'pool zram0:')" 1
	same "ends" "$(trace_count zs_compact_end 'pool zram0:')" 1
	same "of zram1" "$(trace_count zs_compact_ 'pool zram1:')" 0
	same "pages that can be freed" "$(trace_sum zs_compact_start pages_freeable)" $freeable
	[ $freeable -gt 0 ] || fail "there is nothing to free"
	same "pages freed" "$(trace_sum zs_compact_end pages_compacted)" \
		"$(mm_stat zram0 compacted)"
	same "objects moved" "$(trace_sum zs_compact_end objects_moved)" "$(rs_stat objects_moved)"
	[ "$(rs_stat objects_moved)" -gt 0 ] || fail "no object moved"

	# The other pool, by its shrinker.
	local moved
	moved=$(rs_stat objects_moved)
	trace_on
	echo "0 0 100000" >$DEBUGFS/shrinker/mm-zspool:zram1-*/scan
	trace_off
	same "of zram0" "$(trace_count zs_compact_ 'pool zram0:')" 0
	same "pages freed by the shrinker" "$(trace_sum zs_compact_end pages_compacted)" \
		"$(mm_stat zram1 compacted)"
	same "objects moved by it" "$(trace_sum zs_compact_end objects_moved)" \
		$(($(rs_stat objects_moved) - moved))
	same "ends by it" "$(trace_count zs_compact_end)" "$(trace_count zs_compact_start)"
}

# Each of several concurrent compactions reports its own work.
test_compactions_at_once_are_traced() {
	needs_rust
	two_pools
	trace_on
	local i pids=()
	for i in 1 2 3 4; do
		(
			for _ in 1 2 3 4 5; do
				echo 1 >/sys/block/zram$((i % 2))/compact
			done
		) &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait $i || fail "a compaction failed"
	done
	trace_off
	same "starts" "$(trace_count zs_compact_start)" 20
	same "ends" "$(trace_count zs_compact_end)" 20
	same "pages freed" "$(trace_sum zs_compact_end pages_compacted)" \
		"$(rs_stat pages_compacted)"
	same "objects moved" "$(trace_sum zs_compact_end objects_moved)" "$(rs_stat objects_moved)"
	[ "$(rs_stat pages_compacted)" -gt 0 ] || fail "no page was freed"
	[ "$(rs_stat objects_moved)" -gt 0 ] || fail "no object moved"
}

test_nothing_is_traced_unasked() {
	needs_rust
	two_pools
	trace_on
	trace_off
	echo 1 >/sys/block/zram0/compact
	[ "$(mm_stat zram0 compacted)" -gt 0 ] || fail "there was nothing to trace"
	cat $TRACING/trace >$WORK/trace
	same "events" "$(trace_count 'zs_[a-z_]*')" 0
}

kunit_traced() {
	trace_on
	kunit "$1"
	trace_off
}

test_failed_malloc_is_traced() {
	needs_rust
	load_without_background
	faults_possible || :
	# One request for no bytes, six for more than a page.
	kunit_traced "zsmalloc_objects.sizes_that_are_none"
	same "requests of no bytes" "$(trace_count zs_malloc_fail 'size=0 .*error=-22$')" 1
	same "requests that are too large" "$(trace_count zs_malloc_fail 'error=-28$')" 6
	same "of a page and a byte" "$(trace_count zs_malloc_fail "size=$((PAGE_SIZE + 1)) .*error=-28\$")" 1
	same "failed requests" "$(trace_count zs_malloc_fail)" 7
	grep -q ' gfp=[^ ]*__GFP_NOWARN' $WORK/trace || fail "the flags are not named"

	# Each allocation within zs_malloc() fails in turn.
	kunit_traced "zsmalloc_faults.malloc_in_a_filled_pool"
	local hit
	hit=$(sed -n 's/.*fault points hit: //p' $WORK/ktap | sed -n 1p)
	[ -n "$hit" ] || fail "the unit test does not say how many allocations failed"
	[ "$(trace_count zs_malloc_fail 'error=-12$')" -gt 0 ] || fail "no -ENOMEM was traced"
	[ "$(trace_count zs_malloc_fail 'error=-12$')" -le "$hit" ] ||
		fail "$(trace_count zs_malloc_fail) failures traced for $hit failed allocations"
	same "other errors" "$(trace_count zs_malloc_fail 'error=-(22|28)$')" 0
}
