# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Compaction in the background, and the numbers in sysfs.

BYTES=$((48 << 20))
# Each class ends with a partial zspage. Of half as much, these are up to 5 % of what is left.
ENOUGH_BYTES=$((96 << 20))
PROACTIVENESS=/sys/module/zsmalloc_rs/parameters/compaction_proactiveness
POOLS=/sys/kernel/zsmalloc_rs

# By how many tenths of a percent zram's pool is larger than what it stores.
excess() {
	local used
	used=$(mm_stat zram0 used)
	echo $((used * 1000 / $(mm_stat zram0 compr) - 1000))
}

filled() {
	load_allocator "$@"
	load_zram 1
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
}

# Fail unless the background has done its work in five seconds. The background takes a tenth of a
# CPU, so a slow kernel needs longer. What remains is the last zspage of each class: less than 5 % in
# excess with pages of 4 KiB, where there are enough objects.
comes_back() {
	local before seconds=5
	! is_slow || seconds=30
	before=$(excess)
	wait_for $seconds little_is_freeable ||
		fail "$seconds seconds later $(number pages_freeable) of $(number pages) pages can be freed"
	note "excess of the pool: $before per mille, $(excess) within $seconds seconds"
	[ $PAGE_SIZE -gt 4096 ] || [ "$(excess)" -le 50 ] ||
		fail "the pool is $(excess) per mille larger than what it stores"
}

# What the pool says about itself is true: a compaction by hand does not free much, either.
little_is_left() {
	local before after
	before=$(number pages)
	echo 1 >/sys/block/zram0/compact
	after=$(number pages)
	[ $((after * 100)) -ge $((before * 98)) ] ||
		fail "compaction by hand frees $((before - after)) of $before pages"
}

test_discarded_blocks_come_back() {
	needs_rust
	local BYTES=$ENOUGH_BYTES
	filled
	blk scatter /dev/zram0 $BYTES 1:60:0
	comes_back
	[ "$(number background_runs)" -gt 0 ] || fail "nothing ran in the background"
	[ "$(number pages_compacted_background)" -gt "$(pages 500)" ] ||
		fail "only $(number pages_compacted_background) pages came back"
	[ "$(number pages_compacted_background)" -eq "$(mm_stat zram0 compacted)" ] ||
		fail "mm_stat says $(mm_stat zram0 compacted) pages"
	little_is_left
	blk verify /dev/zram0 $BYTES 1:60:0
}

# A program with three times the memory drops a random half of it.
test_swap_comes_back() {
	needs_rust
	load_allocator
	hog_on_zram $((128 << 20)) $((32 << 20)) $((96 << 20))
	[ "$(mm_stat zram0 orig)" -gt $((60 << 20)) ] ||
		fail "only $(mib "$(mm_stat zram0 orig)") are swapped"
	hog punch 1 50
	comes_back
	[ "$(number pages_compacted_background)" -gt "$(pages 500)" ] ||
		fail "only $(number pages_compacted_background) pages came back"
	little_is_left
	hog verify
	hog_stop
	swap_off /dev/zram0
}

# Every byte stays, whatever happens meanwhile.
test_under_load() {
	needs_rust
	filled
	echo 100 >$PROACTIVENESS
	local round rounds=()
	for round in 1 2 3 4 5 6; do
		rounds+=("$round:40:20")
		blk scatter /dev/zram0 $BYTES $round:40:20
		sleep 1.5
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	[ "$(number background_runs)" -gt 3 ] || fail "it ran $(number background_runs) times"
	[ "$(number objects_moved)" -gt "$(pages 1000)" ] || fail "only $(number objects_moved) objects were moved"
}

test_zero_is_never() {
	needs_rust
	local BYTES=$ENOUGH_BYTES
	filled compaction_proactiveness=0
	blk scatter /dev/zram0 $BYTES 1:60:0
	sleep 3
	[ "$(number background_runs)" -eq 0 ] || fail "it ran $(number background_runs) times"
	[ "$(mm_stat zram0 compacted)" -eq 0 ] || fail "$(mm_stat zram0 compacted) pages were compacted"
	[ "$(excess)" -gt 200 ] || fail "there is nothing to compact: $(excess) per mille"
	# From the next frees on.
	echo 80 >$PROACTIVENESS
	blk scatter /dev/zram0 $BYTES 2:20:0
	comes_back
	[ "$(number background_runs)" -gt 0 ] || fail "nothing ran in the background"
	blk verify /dev/zram0 $BYTES 1:60:0 2:20:0
}

test_parameter() {
	needs_rust
	load_allocator
	[ "$(cat $PROACTIVENESS)" -eq 80 ] || fail "the default is $(cat $PROACTIVENESS)"
	local n
	for n in 0 1 100; do
		echo $n >$PROACTIVENESS || fail "$n was refused"
		[ "$(cat $PROACTIVENESS)" -eq $n ] || fail "is $(cat $PROACTIVENESS), not $n"
	done
	for n in 101 -1 x ''; do
		if echo $n >$PROACTIVENESS; then
			fail "'$n' was accepted"
		fi
	done 2>/dev/null
	[ "$(cat $PROACTIVENESS)" -eq 100 ] || fail "is $(cat $PROACTIVENESS), not 100"
}

test_idle_after_that() {
	needs_rust
	local BYTES=$ENOUGH_BYTES
	filled
	blk scatter /dev/zram0 $BYTES 1:60:0
	comes_back
	sleep 2
	local runs us deferred
	runs=$(number background_runs) us=$(number background_us)
	deferred=$(number background_deferred)
	[ $runs -gt 0 ] || fail "nothing ran in the background"
	note "$runs runs, $us us, deferred $deferred times"
	sleep 3
	[ "$(number background_runs) $(number background_us) $(number background_deferred)" = \
		"$runs $us $deferred" ] || fail "it goes on: $(number background_runs) runs"
}

# Pools and the modules go while the work is armed or runs.
test_reset_while_armed() {
	needs_rust
	load_allocator
	load_zram 1
	local n
	for n in 0 0.3 0.6 1 1.1 1.3; do
		zram_setup zram0 $BYTES
		blk copy /dev/zram0 $BYTES
		blk scatter /dev/zram0 $BYTES 1:60:0
		sleep $n
		zram_reset zram0
	done
	[ "$(vmstat nr_zspages)" -eq 0 ] || fail "$(vmstat nr_zspages) pages are left"
	unload_all
}

test_traced() {
	needs_rust
	local BYTES=$ENOUGH_BYTES
	filled
	local events=/sys/kernel/tracing/events/zsmalloc_rs
	[ -e $events ] || fail "no tracepoints of zsmalloc_rs"
	echo 1 >$events/enable
	blk scatter /dev/zram0 $BYTES 1:60:0
	comes_back
	sleep 1
	echo 0 >$events/enable
	local ends pages
	ends=$(grep -c 'zs_compact_end: .* by=background' /sys/kernel/tracing/trace)
	pages=$(sed -n 's/.*zs_compact_end: .* pages_compacted=\([0-9]*\) .* by=background/\1/p' \
		/sys/kernel/tracing/trace | awk '{ n += $1 } END { print n + 0 }')
	[ $ends -gt 0 ] || fail "no run is traced"
	[ $ends -eq "$(number background_runs)" ] ||
		fail "$ends runs are traced, sysfs has $(number background_runs)"
	[ $pages -eq "$(number pages_compacted_background)" ] ||
		fail "$pages pages are traced, sysfs has $(number pages_compacted_background)"
}

test_sysfs() {
	needs_rust
	filled compaction_proactiveness=0
	local file pages
	for file in "$POOLS"/zram0/*; do
		grep -qE '^[0-9]+$' $file || fail "$file: $(cat $file)"
	done
	[ "$(number pages)" -eq $(($(mm_stat zram0 used) / PAGE_SIZE)) ] ||
		fail "$(number pages) pages, mm_stat says $(mm_stat zram0 used) bytes"
	[ "$(number pages)" -eq "$(rs_stat pages)" ] || fail "debugfs has $(rs_stat pages) pages"
	[ "$(number objects)" -eq "$(awk '$1 == "Total" { print $(NF - 2) }' \
		$DEBUGFS/zsmalloc_rs/zram0/classes)" ] || fail "$(number objects) objects"
	# Entries of eight bytes, and the zspages.
	[ "$(number metadata_bytes)" -gt $(($(number objects) * 8)) ] ||
		fail "$(number metadata_bytes) bytes of metadata"
	[ "$(number metadata_bytes)" -lt $(($(number pages) * PAGE_SIZE / 20)) ] ||
		fail "$(number metadata_bytes) bytes of metadata for $(number pages) pages"
	blk scatter /dev/zram0 $BYTES 1:50:0
	pages=$(number pages_freeable)
	[ $pages -gt "$(pages 500)" ] || fail "only $pages pages can be freed"
	echo 1 >/sys/block/zram0/compact
	[ "$(number pages_freeable)" -eq 0 ] || fail "$(number pages_freeable) pages can be freed"
	[ "$(number pages_compacted_user)" -ge $pages ] ||
		fail "$(number pages_compacted_user) of $pages pages were freed"
	[ "$(number objects_moved)" -gt 0 ] || fail "no object moved"
	[ "$(number objects_moved)" -eq "$(rs_stat objects_moved)" ] ||
		fail "$(number objects_moved) objects moved, debugfs has $(rs_stat objects_moved)"
	[ "$(number pages_compacted_shrinker) $(number pages_compacted_background)" = "0 0" ] ||
		fail "others compacted, too"
	zram_reset zram0
	[ ! -e $POOLS/zram0 ] || fail "$POOLS/zram0 is still there"
	unload_all
	[ ! -e $POOLS ] || fail "$POOLS is still there"
}

test_sysfs_counts_the_shrinker() {
	needs_rust
	needs_shrinker_debugfs
	filled compaction_proactiveness=0
	blk scatter /dev/zram0 $BYTES 1:50:0
	echo "0 0 100000" >$DEBUGFS/shrinker/mm-zspool:zram0-*/scan
	[ "$(number pages_compacted_shrinker)" -gt "$(pages 500)" ] ||
		fail "the shrinker freed $(number pages_compacted_shrinker) pages"
	[ "$(number pages_compacted_user)" -eq 0 ] || fail "a user compacted, too"
}

# Files are read while pools come and go.
test_sysfs_of_pools_that_go() {
	needs_rust
	load_allocator
	load_zram 2
	(while :; do cat $POOLS/*/* || :; done) >$WORK/numbers 2>/dev/null &
	local reader=$! n
	for n in $(seq 20); do
		zram_setup zram0 $((4 << 20))
		zram_setup zram1 $((4 << 20))
		blk copy /dev/zram0 $((4 << 20))
		zram_reset zram0
		zram_reset zram1
	done
	kill $reader
	wait $reader || :
	[ "$(wc -l <$WORK/numbers)" -gt 100 ] || fail "only $(wc -l <$WORK/numbers) numbers were read"
	unload_all
}
