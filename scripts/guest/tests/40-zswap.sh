# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034,SC2317
# zswap on the allocator: a process with more anonymous memory than its cgroup allows.

# The kernel cannot reclaim all of it, which is an error.
reclaim() {
	echo $((40 << 20)) >$CGROUP/zs-t/memory.reclaim || :
} 2>/dev/null

# Start a process with 40 MiB of data in a cgroup that has room for them compressed, most of
# it in zswap.
hog_in_cgroup() {
	cgroup_make zs-t $((36 << 20))
	hog_start zs-t $((40 << 20))
	hog fill
	reclaim
	zswap_has "$(pages 4000)"
	[ "$(vmstat nr_zspages)" -gt 0 ] || fail "zswap has no page of the allocator"
}

nothing_stored() {
	[ "$(vmstat nr_zspages)" -eq 0 ]
}

# True if less than 1 % is left. usage: nearly_nothing_stored PAGES_BEFORE
nearly_nothing_stored() {
	[ "$(vmstat nr_zspages)" -lt $(($1 / 100)) ]
}

# Pages of the cgroup that zswap wrote back.
written_back() {
	awk '$1 == "zswpwb" { print $2 }' $CGROUP/zs-t/memory.stat
}

test_every_compressor() {
	needs_zswap
	load_allocator
	swap_on $SWAP
	for c in lzo lz4 zstd; do
		zswap_on $ZPOOL $c
		hog_in_cgroup
		hog verify
		hog punch 1 40
		reclaim
		zswap_has "$(pages 2000)"
		hog verify
		hog_stop
		cgroup_remove zs-t
	done
}

test_nothing_left_after_exit() {
	needs_zswap
	load_allocator
	zswap_on $ZPOOL
	swap_on $SWAP
	hog_in_cgroup
	hog_stop
	# The last references are dropped asynchronously.
	wait_for 5 nothing_stored ||
		fail "nr_zspages is $(vmstat nr_zspages) with nothing stored"
}

test_change_of_zpool_with_data_inside() {
	needs_zpool
	local before
	load_allocator
	zswap_on $ZPOOL
	swap_on $SWAP
	hog_in_cgroup
	before=$(vmstat nr_zspages)
	zswap_on zbud
	hog verify
	# A page outside the data, such as the stack, may stay.
	wait_for 10 nearly_nothing_stored "$before" ||
		fail "of $before pages of the old pool $(vmstat nr_zspages) are left"
	zswap_on $ZPOOL lz4
	reclaim
	[ "$(vmstat nr_zspages)" -gt 0 ] || fail "the new pool has no page"
	zswap_on zbud
	hog verify
	hog_stop
}

test_writeback_to_swap() {
	needs_zswap
	load_allocator
	zswap_on $ZPOOL
	swap_on $SWAP
	hog_in_cgroup
	# The cgroup exceeds its limit now, so that zswap writes back older pages.
	echo $((4 << 20)) >$CGROUP/zs-t/memory.zswap.max
	hog verify
	reclaim
	hog verify
	[ "$(written_back)" -gt 0 ] || fail "nothing was written back"
	hog_stop
}

test_swap_on_zram() {
	load_allocator
	hog_on_zram $((96 << 20)) $((12 << 20)) $((48 << 20))
	[ "$(mm_stat zram0 orig)" -gt $((24 << 20)) ] || fail "little reached zram"
	hog verify
	hog punch 3 50
	echo 1 >/sys/block/zram0/compact
	[ "$(mm_stat zram0 compacted)" -gt 0 ] || fail "compaction freed nothing"
	hog verify
	hog_stop
	swap_off /dev/zram0
}

test_zswap_in_front_of_zram() {
	needs_zswap
	load_allocator
	load_zram 1
	zram_setup zram0 $((96 << 20))
	swap_on /dev/zram0
	zswap_on $ZPOOL
	hog_in_cgroup
	# The cgroup exceeds its limit now, so that zswap writes back older pages to zram.
	echo $((4 << 20)) >$CGROUP/zs-t/memory.zswap.max
	hog verify
	reclaim
	note "pages written back to zram: $(written_back), there: $(mib "$(mm_stat zram0 orig)")"
	[ "$(written_back)" -gt 0 ] || fail "zswap gave nothing to zram"
	zram_has zram0 $((4 << 20))
	hog verify
	hog_stop
	swap_off /dev/zram0
}
