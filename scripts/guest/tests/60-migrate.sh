# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Page migration and CPU hotplug while data is in use.

BYTES=$((48 << 20))

filled() {
	load_without_background
	load_zram 1
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
	blk scatter /dev/zram0 $BYTES 1:30:20
}

# Our own counter. The C allocator has none: count pages of any kind.
migrated() {
	if [ "$ALLOC" = rust ]; then
		rs_stat pages_migrated
	else
		vmstat pgmigrate_success
	fi
}

# Fail if no page was migrated. usage: migrated_since COUNT_BEFORE
migrated_since() {
	local pages=$(($(migrated) - $1))
	note "pages migrated: $pages"
	[ $pages -gt 0 ] || fail "no page was migrated"
}

# Allocate as many huge pages as possible, and free them. Where pages have 64 KiB, that would
# leave too little to the processes, so keep 128 MiB.
huge_pages() {
	local got most=1000000
	[ $PAGE_SIZE -le 16384 ] || most=$(awk '$1 == "MemFree:" { free = $2 }
		$1 == "Hugepagesize:" { print int((free - 131072) / $2) }' /proc/meminfo)
	put $most /proc/sys/vm/nr_hugepages || return
	got=$(cat /proc/sys/vm/nr_hugepages)
	put 0 /proc/sys/vm/nr_hugepages || return
	[ $got -gt 0 ]
}

# Memory compaction moves pages from the lower end of memory to the upper end, where
# allocation begins. Free memory up there once our pages are allocated.
filled_below_room() {
	dd if=/dev/zero of=/tmp/room bs=1M count=400 2>/dev/null
	filled
	rm /tmp/room
}

test_compact_memory() {
	needs_migration
	filled_below_room
	local before
	before=$(migrated)
	for _ in 1 2 3; do
		echo 1 >/proc/sys/vm/compact_memory
		blk verify /dev/zram0 $BYTES 1:30:20
		[ "$(migrated)" -le "$before" ] || break
	done
	migrated_since $before
}

test_compact_memory_under_load() {
	needs_migration
	filled_below_room
	local before rounds=(1:30:20)
	before=$(migrated)
	noise compact_memory put 1 /proc/sys/vm/compact_memory
	for r in 2:20:30 3:20:30; do
		rounds+=("$r")
		blk scatter /dev/zram0 $BYTES $r
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	noise_off
	migrated_since $before
}

# In 2023, a huge nr_hugepages exposed a bit field that was too small for long chains.
test_huge_pages_under_load() {
	needs_migration
	if [ $PAGE_SIZE -gt 16384 ]; then
		# The kernel keeps 200 MiB free, and another block, 512 MiB, when it is short of
		# blocks. It kills processes for that. And with so much, it need not move pages.
		echo 16384 >/proc/sys/vm/min_free_kbytes
		echo 0 >/proc/sys/vm/watermark_boost_factor
	fi
	filled_below_room
	[ ! -d $ZSWAP ] || zswap_on $ZPOOL
	swap_on $SWAP
	cgroup_make zs-t $((36 << 20))
	hog_start zs-t $((40 << 20))
	hog fill
	local before rounds=(1:30:20)
	before=$(migrated)
	noise huge_pages huge_pages
	# On a slow kernel, one round of huge pages takes several of these.
	for r in 2:20:30 3:20:30 4:20:30 5:20:30; do
		blk scatter /dev/zram0 $BYTES $r
		rounds+=("$r")
		hog verify
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
		[ "$(migrated)" -le "$before" ] || break
	done
	noise_off
	migrated_since $before
	hog verify
	hog_stop
}

test_with_compaction_at_once() {
	needs_migration
	filled_below_room
	local before freed rounds=(1:30:20)
	before=$(migrated)
	noise compact_memory put 1 /proc/sys/vm/compact_memory
	noise compactors put 1 /sys/block/zram0/compact
	for r in 2:40:20 3:20:40; do
		rounds+=("$r")
		blk scatter /dev/zram0 $BYTES $r
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	noise_off
	migrated_since $before
	freed=$(mm_stat zram0 compacted)
	note "pages freed by zs_compact: $freed"
	[ $freed -gt 0 ] || fail "zs_compact freed nothing"
}

test_cpu_hotplug() {
	filled
	[ -n "$(other_cpus)" ] || fail "the guest has one CPU"
	noise cpus noise_of_cpus
	local rounds=(1:30:20)
	for r in 2:20:30 3:20:30; do
		rounds+=("$r")
		blk scatter /dev/zram0 $BYTES $r
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	noise_off
	blk verify /dev/zram0 $BYTES "${rounds[@]}"
}
