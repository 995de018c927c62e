#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The demonstration of `make run`: store real data in zram and zswap at once, both
# on the allocator; fragment, compact and migrate it; check every byte, and that
# nothing is left.
. "$(dirname "$0")/lib.sh"

CG=$CGROUP/zs-run
MIN_FREE=$(cat /proc/sys/vm/min_free_kbytes)

say() {
	printf '      guest %3d s: %s\n' "$SECONDS" "$*"
	mark "$*"
}

# One job on zram in the background, so that both CPUs have work.
zram_begin() {
	zs_blk "$@" >$WORK/zram.out 2>&1 &
	ZRAM_JOB=$!
}

zram_end() {
	wait $ZRAM_JOB || fail "zram: $(cat $WORK/zram.out)"
}

# The classes table of zram's pool, for scripts/zsview.
classes() {
	cat $DEBUGFS/zsmalloc*/zram0/classes >"/run/result/classes-$1"
	echo "$PAGE_SIZE" >/run/result/page-size
} 2>/dev/null

# Debian's cloud kernel has none.
HAS_ZSWAP=
[ ! -d $ZSWAP ] || HAS_ZSWAP=1

# The process whose memory is in zswap.
zswap() {
	[ -n "$HAS_ZSWAP" ] || return 0
	hog "$@" >$WORK/hog.last || fail "zswap: $(cat $WORK/hog.last)"
}

slabs_start=$(our_slabs)
nr_start=$(vmstat nr_zspages)
migrate_start=$(vmstat pgmigrate_success)

say "loading the modules ($ALLOC)"
# Each kind of compaction has its turn.
load_without_background
load_zram 1
if [ "$ALLOC" = rust ]; then
	backend=$(cat $BACKEND)
	case $backend in
	*'[rust]'*) ;;
	*) fail "the backend parameter reads '$backend'" ;;
	esac
else
	backend="the kernel's own"
fi

zram_setup zram0 $DATA_BYTES
if [ -n "$HAS_ZSWAP" ]; then
	zswap_on $ZPOOL
	swap_on $SWAP
	mkdir -p $CG
	# zswap's copy counts, too: enough for all of it compressed, not for the rest.
	echo $((104 << 20)) >$CG/memory.max
	hog_start zs-run $DATA_BYTES
	say "storing $(mib $DATA_BYTES) in zram and as much in swapped memory"
else
	say "this kernel has no zswap: storing $(mib $DATA_BYTES) in zram alone"
fi
zram_begin copy $DATA /dev/zram0 $DATA_BYTES
zswap fill
# What is still resident, too, so that zswap holds all of it at once.
for _ in 1 2 3 4 5 6 7 8; do
	[ -n "$HAS_ZSWAP" ] || break
	[ "$(zswap_stat stored_pages)" -lt $(((128 << 20) / PAGE_SIZE)) ] || break
	echo $DATA_BYTES >$CG/memory.reclaim
done 2>/dev/null
zram_end
zram_orig=$(mm_stat zram0 orig) zram_compr=$(mm_stat zram0 compr) zram_used=$(mm_stat zram0 used)
nr_most=$(vmstat nr_zspages)
[ "$zram_orig" -ge $((128 << 20)) ] || fail "zram holds only $(mib "$zram_orig")"
zswap_orig='' zswap_used='' zswap_compr=''
if [ -n "$HAS_ZSWAP" ]; then
	zswap_orig=$(($(zswap_stat stored_pages) * PAGE_SIZE)) zswap_used=$(zswap_stat pool_total_size)
	zswap_compr=$(awk '$1 == "zswap" { print $2 }' $CG/memory.stat)
	[ "$zswap_orig" -ge $((128 << 20)) ] || fail "zswap holds only $(mib "$zswap_orig")"
fi

say "reading all of it back"
zram_begin verify $DATA /dev/zram0 $DATA_BYTES
zswap verify
zram_end

say "freeing and overwriting pages all over"
zram_begin scatter $DATA /dev/zram0 $DATA_BYTES 1:40:10
zswap punch 1 30
zram_end
frag_used=$(mm_stat zram0 used) frag_compr=$(mm_stat zram0 compr)

say "compacting through sysfs"
freed_sysfs=$(mm_stat zram0 compacted)
classes before
echo 1 >/sys/block/zram0/compact
classes after
freed_sysfs=$(($(mm_stat zram0 compacted) - freed_sysfs))
comp_used=$(mm_stat zram0 used)
[ "$freed_sysfs" -gt 0 ] || fail "compaction through sysfs freed nothing"
[ "$comp_used" -lt "$frag_used" ] || fail "compaction did not shrink the pool"
moved_sysfs=$(rs_stat objects_moved)
zs_blk verify $DATA /dev/zram0 $DATA_BYTES 1:40:10 >$WORK/zram.out 2>&1 ||
	fail "zram, after compaction: $(cat $WORK/zram.out)"

freed_background='' seconds_background=''
proactiveness=/sys/module/zsmalloc_rs/parameters/compaction_proactiveness
if [ "$ALLOC" = rust ]; then
	say "fragmenting again, and waiting for what the background gives back"
	echo 80 >$proactiveness
fi
zs_blk scatter $DATA /dev/zram0 $DATA_BYTES 2:40:10 >$WORK/zram.out 2>&1 ||
	fail "zram: $(cat $WORK/zram.out)"
if [ "$ALLOC" = rust ]; then
	seconds_background=$EPOCHREALTIME
	wait_for 10 little_is_freeable || fail "$(number pages_freeable) pages can still be freed"
	seconds_background=$(awk -v a="$seconds_background" -v b="$EPOCHREALTIME" \
		'BEGIN { printf "%.1f", b - a }')
	echo 0 >$proactiveness
	freed_background=$(number pages_compacted_background)
	[ "$freed_background" -gt 0 ] || fail "the background gave nothing back"
fi

say "fragmenting again, then taking memory until the shrinker compacts"
zs_blk scatter $DATA /dev/zram0 $DATA_BYTES 3:40:10 >$WORK/zram.out 2>&1 ||
	fail "zram: $(cat $WORK/zram.out)"
# Reclaim begins early, long before the guest is out of memory.
echo 65536 >/proc/sys/vm/min_free_kbytes
mkdir -p $CGROUP/zs-press
echo 0 >$CGROUP/zs-press/memory.swap.max
press=$(
	echo $BASHPID >$CGROUP/zs-press/cgroup.procs
	exec zs_press /sys/block/zram0/mm_stat 7 66 90
) || fail "memory pressure alone did not compact"
echo "$MIN_FREE" >/proc/sys/vm/min_free_kbytes
freed_press=${press% *} press_mib=${press#* }
say "checking zram, moving pages under it"
zram_begin verify $DATA /dev/zram0 $DATA_BYTES 1:40:10 2:40:10 3:40:10
migrated=$(rs_stat pages_migrated) pg=$(vmstat pgmigrate_success)
echo 1 >/proc/sys/vm/compact_memory
zram_end

checked="swapped memory"
[ -n "$HAS_ZSWAP" ] || checked="zram again"
say "checking $checked, moving pages under it"
# shellcheck disable=SC2317 # called by noise
move_pages() {
	put 1 /proc/sys/vm/compact_memory && put 40 /proc/sys/vm/nr_hugepages &&
		put 0 /proc/sys/vm/nr_hugepages
}
noise move_pages move_pages
zram_begin verify $DATA /dev/zram0 $DATA_BYTES 1:40:10 2:40:10 3:40:10
zswap verify
zram_end
noise_off
migrated=$(($(rs_stat pages_migrated) - migrated)) pg=$(($(vmstat pgmigrate_success) - pg))
refused=$(rs_stat migrations_refused) deferred=$(rs_stat deferred_frees)
moved=$(rs_stat objects_moved)
[ $pg -gt 0 ] || fail "no page was migrated"
if [ "$ALLOC" = rust ]; then
	[ "$migrated" -gt 0 ] || fail "no page of the allocator was migrated"
	[ "$moved" -gt 0 ] || fail "compaction moved no object"
fi

say "taking everything away"
if [ -n "$HAS_ZSWAP" ]; then
	hog_stop
	swap_off $SWAP
	zswap_off
fi
zram_reset zram0
unload_all
cgroup_remove zs-run
cgroup_remove zs-press
nr_end=$(vmstat nr_zspages)
[ "$nr_end" -eq "$nr_start" ] || fail "pages leaked: nr_zspages was $nr_start, is $nr_end"
slabs_left=$(our_slabs | grep -vxF "$slabs_start" || :)
[ -z "$slabs_left" ] || fail "slab caches left: $slabs_left"

row() {
	printf '  %-28s %14s %14s\n' "$@"
}

one() {
	printf '  %-28s %s\n' "$@"
}

# Of numbers that there are not, "none".
size() {
	if [ -n "$1" ]; then mib "$1"; else echo none; fi
}

ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { if (b) printf "%.2f", a / b; else print "none" }'
}

{
	echo
	row "" zram zswap
	row "stored" "$(size "$zram_orig")" "$(size "$zswap_orig")"
	row "compressed" "$(size "$zram_compr")" "$(size "$zswap_compr")"
	row "pool" "$(size "$zram_used")" "$(size "$zswap_used")"
	row "stored / pool" "$(ratio "$zram_orig" "$zram_used")" "$(ratio "$zswap_orig" "$zswap_used")"
	row "compressed / pool" "$(ratio "$zram_compr" "$zram_used")" "$(ratio "$zswap_compr" "$zswap_used")"
	echo
	one "kernel" "$(uname -r)"
	one "backend" "$backend${HAS_ZSWAP:+ (zswap: $ZPOOL)}"
	one "zram, after fragmenting" "$(mib "$frag_compr") in $(mib "$frag_used")"
	one "zram, after compacting" "$(mib "$frag_compr") in $(mib "$comp_used")"
	one "pages freed, sysfs" "$freed_sysfs"
	[ -z "$freed_background" ] ||
		one "pages freed, background" "$freed_background (in $seconds_background s, nobody asked)"
	one "pages freed, memory pressure" "$freed_press (under $press_mib MiB of pressure)"
	if [ "$ALLOC" = rust ]; then
		one "objects moved" "$moved ($moved_sysfs of them by the sysfs compaction)"
		one "pages migrated" "$migrated of ours, $pg in all; refused $refused, freed later $deferred"
	else
		one "pages migrated" "$pg in all"
	fi
	one "nr_zspages" "start $nr_start, most $nr_most, end $nr_end"
	one "every byte" "as it was stored"
} | tee /run/result/report.txt
: "$migrate_start"
exit 0
