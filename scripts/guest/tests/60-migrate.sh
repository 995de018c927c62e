# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Pages that move, and CPUs that go, under data in use.

BYTES=$((48 << 20))

filled() {
	load_allocator
	load_zram 1
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
	blk scatter /dev/zram0 $BYTES 1:30:20
}

# Our own count; of the C allocator only the sum over all kinds of pages shows.
migrated() {
	if [ "$ALLOC" = rust ]; then
		rs_stat pages_migrated
	else
		vmstat pgmigrate_success
	fi
}

# Compaction moves pages from the lower end of memory to the upper one, where
# allocation begins: room up there, once our pages are placed.
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
	[ "$(migrated)" -gt "$before" ] || fail "no page was migrated"
}

test_compact_memory_under_load() {
	needs_migration
	filled
	(while :; do echo 1 >/proc/sys/vm/compact_memory; done) &
	local mover=$! rounds=(1:30:20)
	for r in 2:20:30 3:20:30; do
		rounds+=("$r")
		blk scatter /dev/zram0 $BYTES $r
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	kill $mover
	wait $mover || :
}

# In 2023, absurd nr_hugepages found a bit field that was too small for long chains.
test_huge_pages_under_load() {
	needs_migration
	filled_below_room
	zswap_on $ZPOOL
	swap_on $SWAP
	cgroup_make zs-t $((30 << 20))
	hog_start zs-t $((40 << 20))
	hog fill
	local before rounds=(1:30:20)
	before=$(migrated)
	(while :; do
		echo 1000000 >/proc/sys/vm/nr_hugepages
		echo 0 >/proc/sys/vm/nr_hugepages
	done) &
	local mover=$!
	# A slow kernel takes more than one of these for one round of huge pages.
	for r in 2:20:30 3:20:30 4:20:30 5:20:30; do
		blk scatter /dev/zram0 $BYTES $r
		rounds+=("$r")
		hog verify
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
		[ "$(migrated)" -le "$before" ] || break
	done
	kill $mover
	wait $mover || :
	echo 0 >/proc/sys/vm/nr_hugepages
	[ "$(migrated)" -gt "$before" ] || fail "no page was migrated"
	hog verify
	hog_stop
}

test_with_compaction_at_once() {
	needs_migration
	filled
	(while :; do echo 1 >/proc/sys/vm/compact_memory; done) &
	local a=$!
	(while :; do echo 1 >/sys/block/zram0/compact; done) &
	local b=$! rounds=(1:30:20)
	for r in 2:40:20 3:20:40; do
		rounds+=("$r")
		blk scatter /dev/zram0 $BYTES $r
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	kill $a $b
	wait $a $b || :
}

test_cpu_hotplug() {
	filled
	(while :; do
		echo 0 >/sys/devices/system/cpu/cpu1/online
		echo 1 >/sys/devices/system/cpu/cpu1/online
	done) &
	local plug=$! rounds=(1:30:20)
	for r in 2:20:30 3:20:30; do
		rounds+=("$r")
		blk scatter /dev/zram0 $BYTES $r
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	kill $plug
	wait $plug || :
	echo 1 >/sys/devices/system/cpu/cpu1/online 2>/dev/null || :
	blk verify /dev/zram0 $BYTES "${rounds[@]}"
}
