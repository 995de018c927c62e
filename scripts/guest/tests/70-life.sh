# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Creation and destruction of pools, and failing allocations.

BYTES=$((24 << 20))

# A failure here ends the noise, which fails the test.
a_pool_comes_and_goes() {
	zram_setup zram1 $((2 << 20))
	blk copy /dev/zram1 $((2 << 20))
	blk verify /dev/zram1 $((2 << 20))
	zram_reset zram1
}

test_pools_come_and_go_beside_one_at_work() {
	load_allocator
	load_zram 2
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
	noise pools a_pool_comes_and_goes
	local rounds=()
	for r in 1:30:30 2:30:30 3:30:30; do
		rounds+=("$r")
		blk scatter /dev/zram0 $BYTES $r
		echo 1 >/sys/block/zram0/compact
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	noise_off
}

test_hot_add_and_remove() {
	load_allocator
	load_zram 1
	for _ in 1 2 3; do
		local id
		id=$(cat /sys/class/zram-control/hot_add)
		zram_setup "zram$id" $((4 << 20))
		blk copy "/dev/zram$id" $((4 << 20))
		blk verify "/dev/zram$id" $((4 << 20))
		echo "$id" >/sys/class/zram-control/hot_remove || fail "hot_remove $id"
	done
}

the_pool_changes() {
	if [ -e $ZSWAP/zpool ]; then
		put zbud $ZSWAP/zpool || fail "changing the zpool"
		put $ZPOOL $ZSWAP/zpool || fail "changing the zpool"
	fi
	put lz4 $ZSWAP/compressor || fail "changing the compressor"
	put lzo $ZSWAP/compressor || fail "changing the compressor"
}

test_zswap_pools_change_under_load() {
	needs_zswap
	load_allocator
	swap_on $SWAP
	zswap_on $ZPOOL
	cgroup_make zs-t $((36 << 20))
	hog_start zs-t $((40 << 20))
	local before
	before=$(vmstat zswpout)
	noise pools the_pool_changes
	hog fill
	hog verify
	hog punch 1 30
	hog verify
	local stored=$(($(vmstat_about zswpout) - before))
	note "pages stored meanwhile: $stored"
	[ $stored -gt "$(pages 1000)" ] || fail "only $stored pages were stored"
	noise_off
	hog_stop
}

# Allocations fail at random while zram writes. zram reports I/O errors, nothing leaks,
# and the pool works afterwards.
inject() {
	local what=$1 at_most=1000000000
	load_allocator
	load_zram 1
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
	cd $DEBUGFS/$what || fail "no fault injection"
	echo Y >task-filter
	echo 0 >verbose
	echo $at_most >"./times"
	echo 0 >space
	[ ! -e cache-filter ] || echo N >cache-filter
	[ ! -e ignore-gfp-wait ] || echo N >ignore-gfp-wait
	[ ! -e ignore-gfp-highmem ] || echo N >ignore-gfp-highmem
	[ ! -e min-order ] || echo 0 >min-order
	local errors=0 failed lost=''
	# A part of a large page may be written through the page cache, which reports an error later.
	[ $PAGE_SIZE -eq 4096 ] || lost='Buffer I/O error on dev zram0, logical block \d+, lost async page write|'
	# A page fault that gets no page is retried.
	allow_begin "^($lost"'Huh VM_FAULT_OOM leaked out to the #PF handler|pagefault_out_of_memory: \d+ callbacks|SLUB: Unable to allocate memory on CPU|  cache: \w+, object size:|  node \d+: slabs:)'
	echo 20 >probability
	for seed in 11 12 13; do
		# dd stops at the first error; continue behind it.
		for skip in $(seq 0 50 2000); do
			# In the child only: a failing fork would be in the log.
			bash -c 'echo 1 >/proc/self/make-it-fail; exec dd "$@"' dd \
				if=$DATA of=/dev/zram0 bs=4k skip=$((seed + skip)) seek=$skip \
				count=50 oflag=direct conv=notrunc >/dev/null 2>&1 ||
				errors=$((errors + 1))
		done
	done
	echo 0 >probability
	allow_end
	failed=$((at_most - $(cat "./times")))
	cd /
	note "allocations that failed: $failed, writes that ended for it: $errors"
	[ $failed -gt 100 ] || fail "only $failed allocations failed"
	[ $errors -gt 0 ] || fail "no write failed"
	blk copy /dev/zram0 $BYTES
	blk verify /dev/zram0 $BYTES
}

test_failing_slab_allocations() {
	inject failslab
}

test_failing_page_allocations() {
	inject fail_page_alloc
}
