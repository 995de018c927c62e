# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Compaction, by each trigger.

BYTES=$((48 << 20))

fragmented() {
	load_without_background
	load_zram 1
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
	blk scatter /dev/zram0 $BYTES 1:50:10
}

shrinker() {
	echo $DEBUGFS/shrinker/mm-zspool:zram0-*
}

# The count is per memory cgroup and node: "inode count...".
shrinker_count() {
	awk '{ for (i = 2; i <= NF; i++) s += $i } END { print s + 0 }' "$(shrinker)/count"
}

test_by_sysfs() {
	fragmented
	local used
	used=$(mm_stat zram0 used)
	echo 1 >/sys/block/zram0/compact
	local freed
	freed=$(mm_stat zram0 compacted)
	[ "$freed" -gt "$(pages 500)" ] || fail "only $freed pages freed"
	[ $((used - $(mm_stat zram0 used))) -eq $((freed * PAGE_SIZE)) ] ||
		fail "says $freed pages, freed $(((used - $(mm_stat zram0 used)) / PAGE_SIZE))"
	if [ "$ALLOC" = rust ]; then
		[ "$(rs_stat pages_compacted)" -eq "$freed" ] ||
			fail "stats say $(rs_stat pages_compacted) pages, mm_stat $freed"
		[ "$(rs_stat objects_moved)" -gt 0 ] || fail "no object moved"
	fi
	blk verify /dev/zram0 $BYTES 1:50:10
	# A second compaction frees nothing.
	echo 1 >/sys/block/zram0/compact
	[ $(($(mm_stat zram0 compacted) - freed)) -eq 0 ] ||
		fail "a second compaction freed $(($(mm_stat zram0 compacted) - freed)) more"
}

# Each page that concurrent compactions free is counted once.
test_by_two_writers() {
	fragmented
	local used freed go=/run/compact-now
	used=$(mm_stat zram0 used)
	# Start together.
	local pids=() pid
	for _ in 1 2 3; do
		(
			until [ -e $go ]; do :; done
			for _ in 1 2 3; do echo 1 >/sys/block/zram0/compact; done
		) &
		pids+=($!)
	done
	sleep 0.5
	touch $go
	for pid in "${pids[@]}"; do
		wait $pid || fail "a writer failed"
	done
	rm $go
	freed=$(mm_stat zram0 compacted)
	[ "$freed" -gt "$(pages 500)" ] || fail "only $freed pages freed"
	[ $((used - $(mm_stat zram0 used))) -eq $((freed * PAGE_SIZE)) ] ||
		fail "says $freed pages, freed $(((used - $(mm_stat zram0 used)) / PAGE_SIZE))"
	blk verify /dev/zram0 $BYTES 1:50:10
}

test_by_shrinker_debugfs() {
	needs_shrinker_debugfs
	fragmented
	[ -d "$(shrinker)" ] || fail "no shrinker mm-zspool:zram0"
	local count
	count=$(shrinker_count)
	[ "$count" -gt "$(pages 500)" ] || fail "the shrinker counts $count pages"
	echo "0 0 100000" >"$(shrinker)/scan" || fail "scan"
	[ "$(mm_stat zram0 compacted)" -gt "$(pages 500)" ] ||
		fail "scan freed $(mm_stat zram0 compacted) pages"
	[ "$(shrinker_count)" -eq 0 ] || fail "the shrinker still counts $(shrinker_count)"
	blk verify /dev/zram0 $BYTES 1:50:10
}

test_count_is_what_compaction_frees() {
	needs_shrinker_debugfs
	fragmented
	local count
	count=$(shrinker_count)
	[ $count -gt "$(pages 500)" ] || fail "the shrinker counts only $count pages"
	echo 1 >/sys/block/zram0/compact
	[ "$(mm_stat zram0 compacted)" -eq "$count" ] ||
		fail "counted $count, freed $(mm_stat zram0 compacted)"
}

test_by_memory_pressure() {
	fragmented
	echo 65536 >/proc/sys/vm/min_free_kbytes
	cgroup_make zs-p max
	echo 0 >$CGROUP/zs-p/memory.swap.max
	(
		echo "$BASHPID" >$CGROUP/zs-p/cgroup.procs
		# Allocating 2 GiB takes minutes with KASAN.
		exec zs_press /sys/block/zram0/mm_stat 7 66 300
	) || fail "memory pressure did not compact: $(grep -h node_unreclaimable /proc/zoneinfo)"
	blk verify /dev/zram0 $BYTES 1:50:10
}

test_while_written_and_read() {
	local BYTES=$((24 << 20))
	fragmented
	noise compactors put 1 /sys/block/zram0/compact
	# A second compactor: a pool allows one at a time.
	if [ -d $DEBUGFS/shrinker ]; then
		noise shrinkers noise_of_shrinkers 'zram0-*'
	else
		noise compactors2 put 1 /sys/block/zram0/compact
	fi
	local freed rounds=(1:50:10)
	for r in 2:20:40 3:40:40 4:0:50; do
		rounds+=("$r")
		blk scatter /dev/zram0 $BYTES $r
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	noise_off
	freed=$(mm_stat zram0 compacted)
	note "pages freed meanwhile: $freed"
	[ $freed -gt "$(pages 500)" ] || fail "only $freed pages were freed meanwhile"
	blk verify /dev/zram0 $BYTES "${rounds[@]}"
}

test_classes_table() {
	fragmented
	local dir=zsmalloc
	[ "$ALLOC" = c ] || dir=zsmalloc_rs
	local table=$DEBUGFS/$dir/zram0/classes
	[ -r "$table" ] || fail "no $table"
	head -n 1 "$table"
	# The order of the columns matters.
	grep -qE '^ *class +size +10% .* 100% +obj_allocated +obj_used +pages_used +pages_per_zspage +freeable' "$table" ||
		fail "unexpected columns"
	# The table accounts for all pages.
	local pages
	pages=$(awk '$1 ~ /^[0-9]+$/ { s += $(NF - 2) } END { print s }' "$table")
	[ "$pages" -gt 0 ] || fail "no page in the table"
	[ "$pages" -eq $(($(mm_stat zram0 used) / PAGE_SIZE)) ] ||
		fail "table says $pages pages, mm_stat $(($(mm_stat zram0 used) / PAGE_SIZE))"
}
