# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# zsmalloc_takeover.ko: our pools for callers of a built-in zsmalloc. It patches the
# kernel's code under load, so these tests need THREAD=single, see
# Documentation/testing.rst.

TRACING=/sys/kernel/tracing
ENABLED=$TRACING/enabled_functions
SWITCH=/proc/sys/kernel/ftrace_enabled
BYTES=$((24 << 20))
# What zram reads a page with.
READ="zs_map_object zs_unmap_object"
! grep -q ' zs_obj_read_begin$' /proc/kallsyms || READ="zs_obj_read_begin zs_obj_read_end"

needs_takeover() {
	needs_rust
	if ! built_in zsmalloc; then
		echo "needs a kernel with CONFIG_ZSMALLOC=y" >$WORK/skip
		exit 0
	fi
	[ -e "$(ours zsmalloc_takeover)" ] || fail "zsmalloc_takeover.ko was not built"
}

# Functions of the kernel's zsmalloc that are hooked, by anybody.
hooked() {
	awk '$1 ~ /^zs_/ { print $1 }' $ENABLED
}

# usage: all_hooked, none_hooked
all_hooked() {
	local functions=11
	# Those for scatterlists, writing, and migration.
	[ "${READ%% *}" = zs_map_object ] || functions=17
	[ "$(hooked | wc -l)" -ge $functions ] || fail "hooked: $(hooked | tr '\n' ' ')"
}

none_hooked() {
	[ -z "$(hooked)" ] || fail "still hooked: $(hooked | tr '\n' ' ')"
}

is_rust() {
	[ -d $DEBUGFS/zsmalloc_rs/$1 ] || fail "$1 is not on the Rust allocator"
}

is_c() {
	[ ! -d $DEBUGFS/zsmalloc_rs/$1 ] || fail "$1 is on the Rust allocator"
}

# Fail unless loading the module fails with that message; '' is no message.
# usage: load_refused MODULE REGEX [PARAMETER...]
load_refused() {
	local what=$1 why=$2 status=0
	shift 2
	[ -z "$why" ] || expect_begin "$what: $why"
	insmod "$(ours $what)" "$@" || status=$?
	[ -z "$why" ] || expect_end
	[ $status -ne 0 ] || fail "$what $* was loaded"
	[ -z "$why" ] || dmesg | tail -n 20 | grep -E "$what: $why" ||
		fail "no '$why' in the log: $(dmesg | tail -n 3)"
}

# Have another module hook zs_malloc(), or change its first bytes, until rival_off or the
# end of the test. usage: rival_on HOW
rival_on() {
	trap rival_off EXIT
	load "$(ours zsmalloc_rival)" how=$1
}

rival_off() {
	trap - EXIT
	unload zsmalloc_rival
}

# Trace functions until trace_off or the end of the test. usage: trace_on FUNCTIONS
trace_on() {
	trap trace_off EXIT
	echo >$TRACING/trace
	echo "$1" >$TRACING/set_ftrace_filter
	echo function >$TRACING/current_tracer
}

trace_off() {
	trap - EXIT
	echo nop >$TRACING/current_tracer
	echo >$TRACING/set_ftrace_filter
}

# Set a kprobe and a kretprobe. usage: probes_on FUNCTION
probes_on() {
	trap probes_off EXIT
	printf '%s\n' "p:zs/in $1" "r:zs/out $1" >$TRACING/kprobe_events || fail "no probe on $1"
	echo 1 >$TRACING/events/zs/enable
}

probes_off() {
	trap - EXIT
	echo 0 >$TRACING/events/zs/enable
	echo >$TRACING/kprobe_events
}

# Hits of all probes.
probes_hit() {
	awk '{ n += $2 } END { print n + 0 }' $TRACING/kprobe_profile
}

# Fill zram1, fragment it, compact it and check it.
# usage: a_life_of_zram1 ROUND [BYTES]
a_life_of_zram1() {
	local bytes=${2:-$((8 << 20))}
	zram_setup zram1 $bytes
	blk copy /dev/zram1 $bytes
	blk scatter /dev/zram1 $bytes $1:30:30
	echo 1 >/sys/block/zram1/compact
	blk verify /dev/zram1 $bytes $1:30:30
}

# usage: hog_in_cgroup [BYTES]; seven eighths may be in memory, compressed or not
hog_in_cgroup() {
	local bytes=${1:-$((32 << 20))}
	cgroup_make zs-t $((bytes * 7 / 8))
	hog_start zs-t $bytes
	hog fill
	echo $bytes >$CGROUP/zs-t/memory.reclaim || :
} 2>/dev/null

test_hooks_all_and_leaves_nothing() {
	needs_takeover
	none_hooked
	load_allocator
	all_hooked
	hooked
	load_zram 1
	zram_setup zram0 $BYTES
	is_rust zram0
	blk copy /dev/zram0 $BYTES
	blk scatter /dev/zram0 $BYTES 1:30:30
	echo 1 >/sys/block/zram0/compact
	[ "$(mm_stat zram0 compacted)" -gt 0 ] || fail "compaction freed nothing"
	[ "$(mm_stat zram0 compacted)" -eq "$(rs_stat pages_compacted)" ] ||
		fail "zram has $(mm_stat zram0 compacted) pages compacted, we $(rs_stat pages_compacted)"
	[ "$(mm_stat zram0 used)" -eq $(($(rs_stat pages) * PAGE_SIZE)) ] ||
		fail "zram uses $(mm_stat zram0 used) bytes, we have $(rs_stat pages) pages"
	blk verify /dev/zram0 $BYTES 1:30:30
	unload_all
	none_hooked
}

test_unload_refused_under_pools() {
	needs_takeover
	load_allocator
	load_zram 2
	zram_setup zram0 $BYTES
	echo c >$BACKEND
	zram_setup zram1 $((8 << 20))
	blk copy /dev/zram0 $BYTES
	blk copy /dev/zram1 $((8 << 20))
	for m in zsmalloc_takeover zsmalloc_rs; do
		if rmmod $m; then
			fail "$m was unloaded under zram0"
		fi
	done
	all_hooked
	blk verify /dev/zram0 $BYTES
	zram_reset zram0
	# A pool of the C allocator does not keep the modules.
	unload zsmalloc_takeover zsmalloc_rs
	none_hooked
	blk verify /dev/zram1 $((8 << 20))
}

# Pools of the C allocator, older and newer, keep working. Little data: the hooks are
# what changes, and each round of the load meets all of them.
test_nine_times_under_load() {
	needs_takeover
	local BYTES=$((8 << 20))
	load_zram 2
	swap_on $SWAP
	zswap_on zsmalloc
	hog_in_cgroup $((12 << 20))
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
	(
		n=0
		trap 'echo $n >$WORK/rounds; exit 0' TERM
		while :; do
			zs_blk verify $DATA /dev/zram0 $BYTES || break
			zs_blk copy $DATA /dev/zram0 $BYTES || break
			echo 1 >/sys/block/zram0/compact
			n=$((n + 1))
		done
		echo "FAIL: zram0 in round $n" >$WORK/rounds
	) &
	local job=$! swapped
	swapped=$(vmstat_about zswpin)
	for round in 1 2 3 4 5 6 7 8 9; do
		load_allocator
		a_life_of_zram1 $round $((2 << 20))
		is_rust zram1
		is_c zram0
		hog verify
		zram_reset zram1
		unload zsmalloc_takeover zsmalloc_rs
		none_hooked
	done
	kill $job
	wait $job || :
	swapped=$(($(vmstat_about zswpin) - swapped))
	mark "$(cat $WORK/rounds) times all of zram0 verified and written, $swapped pages from zswap"
	[ "$(cat $WORK/rounds)" -ge 9 ] || fail "zram0 was not under load: $(cat $WORK/rounds)"
	[ $swapped -gt "$(pages 9000)" ] || fail "only $swapped pages came from zswap"
	hog verify
	hog_stop
	blk verify /dev/zram0 $BYTES
}

test_switching_under_load() {
	needs_takeover
	load_allocator
	load_zram 3
	zram_setup zram0 $BYTES
	echo c >$BACKEND
	zram_setup zram2 $BYTES
	blk copy /dev/zram0 $BYTES
	blk copy /dev/zram2 $BYTES
	(while :; do
		for b in rust c; do
			echo $b >$BACKEND
		done
	done) &
	local job=$! rust=0 c=0 round=0
	# Whichever it happens to be, until both were.
	while [ $rust -lt 3 ] || [ $c -lt 3 ]; do
		round=$((round + 1))
		[ $round -le 60 ] || fail "of $round pools $rust were rust, $c c"
		zram_setup zram1 $((2 << 20))
		if [ -d $DEBUGFS/zsmalloc_rs/zram1 ]; then
			rust=$((rust + 1))
		else
			c=$((c + 1))
		fi
		blk copy /dev/zram1 $((2 << 20))
		blk verify /dev/zram1 $((2 << 20))
		zram_reset zram1
	done
	kill $job
	wait $job || :
	echo "$rust pools of rust, $c of c"
	is_rust zram0
	is_c zram2
	blk verify /dev/zram0 $BYTES
	blk verify /dev/zram2 $BYTES
}

# Migrations of C's pages are counted by tracing. Where there is one set of operations for
# both, ours are diverted from zs_page_migrate to zs_takeover_page_migrate.
test_both_migrate() {
	needs_takeover
	needs_migration
	dd if=/dev/zero of=/tmp/room bs=1M count=300 2>/dev/null
	load_allocator
	load_zram 2
	zram_setup zram0 $BYTES
	echo c >$BACKEND
	zram_setup zram1 $BYTES
	for d in zram0 zram1; do
		blk copy /dev/$d $BYTES
		blk scatter /dev/$d $BYTES 1:30:20
	done
	rm /tmp/room
	local ours c
	trace_on 'zs_*page_migrate'
	for _ in 1 2 3 4 5; do
		echo 1 >/proc/sys/vm/compact_memory
		ours=$(rs_stat pages_migrated)
		c=$(awk '/: zs_page_migrate <-/ { n++ } /: zs_takeover_page_migrate <-/ { n-- }
			END { print n + 0 }' $TRACING/trace)
		[ "$ours" -eq 0 ] || [ "$c" -eq 0 ] || break
	done
	echo "pages migrated: $ours of rust, at least $c of c"
	[ "$ours" -gt 0 ] || fail "no page of rust was migrated"
	[ "$c" -gt 0 ] || fail "no page of c was migrated"
	blk verify /dev/zram0 $BYTES 1:30:20
	blk verify /dev/zram1 $BYTES 1:30:20
}

# The kernel's own zpool driver looks into its pools: none of ours may get there.
test_zswap_type_zsmalloc_stays_c() {
	needs_takeover
	needs_zpool
	load_allocator
	swap_on $SWAP
	[ "$(cat $BACKEND)" = '[rust] c' ] || fail "backend is $(cat $BACKEND)"
	for c in lzo lz4 zstd lzo; do
		zswap_on zsmalloc $c
		! ls -d $DEBUGFS/zsmalloc_rs/*/ || fail "zswap made a pool of ours"
	done
	hog_in_cgroup
	[ "$(zswap_stat stored_pages)" -gt "$(pages 1000)" ] ||
		fail "only $(zswap_stat stored_pages) pages in zswap"
	# This reads the count of pages in each pool.
	[ "$(zswap_stat pool_total_size)" -gt 1000000 ] ||
		fail "zswap has $(zswap_stat pool_total_size) bytes"
	[ "$(rs_stat pages)" -eq 0 ] || fail "pages in our pools"
	hog verify
	# Ours by its own name, with the old pool still in use; and unloaded only then.
	zswap_on zsmalloc_rs
	hog verify
	echo $((32 << 20)) >$CGROUP/zs-t/memory.reclaim 2>/dev/null || :
	[ "$(rs_stat pages)" -gt 0 ] || fail "no pages in our pools"
	unload zsmalloc_takeover
	hog verify
	hog_stop
}

# Without zpool, zswap calls the hooked functions like zram.
test_zswap_follows_the_backend() {
	needs_takeover
	if [ -e $ZSWAP/zpool ]; then
		echo "the kernel has zpool" >$WORK/skip
		return
	fi
	# A pool of C from before, which stays in use.
	swap_on $SWAP
	zswap_on zsmalloc lz4
	hog_in_cgroup
	zswap_has "$(pages 1000)"
	load_allocator
	hog verify
	[ "$(rs_stat pages)" -eq 0 ] || fail "pages in our pools"
	zswap_on zsmalloc_rs lzo
	hog fill
	echo $((32 << 20)) >$CGROUP/zs-t/memory.reclaim 2>/dev/null || :
	[ "$(rs_stat pages)" -gt "$(pages 500)" ] || fail "only $(rs_stat pages) pages in our pools"
	hog verify
	! rmmod zsmalloc_takeover || fail "was unloaded under zswap's pool"
	# Back to C, while the pool of ours is in use.
	zswap_on zsmalloc zstd
	hog verify
	hog fill
	echo $((32 << 20)) >$CGROUP/zs-t/memory.reclaim 2>/dev/null || :
	hog verify
	hog_stop
	unload zsmalloc_takeover
}

test_by_callbacks() {
	needs_takeover
	load "$(ours zsmalloc_rs)"
	load "$(ours zsmalloc_takeover)" direct=N
	all_hooked
	! grep '^zs_.* D ' $ENABLED || fail "hooked by a direct call"
	load_zram 2
	zram_setup zram0 $BYTES
	is_rust zram0
	echo c >$BACKEND
	zram_setup zram1 $BYTES
	is_c zram1
	for d in zram0 zram1; do
		blk copy /dev/$d $BYTES
		blk scatter /dev/$d $BYTES 1:30:30
		echo 1 >/sys/block/$d/compact
		[ "$(mm_stat $d compacted)" -gt 0 ] || fail "$d: compaction freed nothing"
		blk verify /dev/$d $BYTES 1:30:30
	done
	[ "$(mm_stat zram0 used)" -eq $(($(rs_stat pages) * PAGE_SIZE)) ] ||
		fail "zram uses $(mm_stat zram0 used) bytes, we have $(rs_stat pages) pages"
	unload_all
	none_hooked
}

# Trace all functions while they are hooked, called and unhooked.
test_traced() {
	needs_takeover
	local direct f
	load_zram 2
	zram_setup zram0 $((8 << 20))
	blk copy /dev/zram0 $((8 << 20))
	trace_on 'zs_*'
	load "$(ours zsmalloc_rs)"
	for direct in Y N; do
		load "$(ours zsmalloc_takeover)" direct=$direct
		a_life_of_zram1 1
		is_rust zram1
		blk verify /dev/zram0 $((8 << 20))
		# Off and on again under a pool.
		trace_off
		blk verify /dev/zram1 $((8 << 20)) 1:30:30
		trace_on 'zs_*'
		blk verify /dev/zram1 $((8 << 20)) 1:30:30
		blk verify /dev/zram0 $((8 << 20))
		for f in $READ; do
			grep -q "$f <-" $TRACING/trace || fail "direct=$direct: $f was not traced"
		done
		zram_reset zram1
		unload zsmalloc_takeover
	done
	blk verify /dev/zram0 $((8 << 20))
}

test_probed() {
	needs_takeover
	if [ ! -e $TRACING/kprobe_events ]; then
		echo "the kernel has no CONFIG_KPROBE_EVENTS" >$WORK/skip
		return
	fi
	local direct hit when
	load_zram 2
	zram_setup zram0 $((4 << 20))
	blk copy /dev/zram0 $((4 << 20))
	load "$(ours zsmalloc_rs)"
	for direct in Y N; do
		# One that is there before, and one that comes after.
		for when in before after; do
			[ $when = after ] || probes_on ${READ%% *}
			load "$(ours zsmalloc_takeover)" direct=$direct
			[ $when = before ] || probes_on ${READ%% *}
			a_life_of_zram1 1
			is_rust zram1
			hit=$(probes_hit)
			blk verify /dev/zram1 $((8 << 20)) 1:30:30
			blk verify /dev/zram0 $((4 << 20))
			hit=$(($(probes_hit) - hit))
			# At entry and return, of more than 2000 pages.
			[ $hit -gt "$(pages 4000)" ] || fail "direct=$direct, $when: $hit hits"
			[ $when = before ] || probes_off
			zram_reset zram1
			unload zsmalloc_takeover
			[ $when = after ] || probes_off
		done
	done
	blk verify /dev/zram0 $((4 << 20))
}

test_second_taker_is_named() {
	needs_takeover
	local how direct
	load "$(ours zsmalloc_rs)"
	# What zsmalloc_rival can.
	local hows=(ipmodify)
	[ "$(uname -m)" != x86_64 ] || hows+=(direct jmp)
	for how in "${hows[@]}"; do
		# Not all kernels have that one.
		[ $how != jmp ] || insmod "$(ours zsmalloc_rival)" how=jmp || continue
		unload zsmalloc_rival
		for direct in Y N; do
			rival_on $how
			load_refused zsmalloc_takeover \
				'zs_malloc is hooked by zs_rival_[a-z_]+ \[zsmalloc_rival\]' direct=$direct
			[ "$(hooked)" = zs_malloc ] || fail "hooked: $(hooked | tr '\n' ' ')"
			rival_off
			none_hooked
			# The other order.
			load "$(ours zsmalloc_takeover)" direct=$direct
			load_refused zsmalloc_rival '' how=$how
			all_hooked
			unload zsmalloc_takeover
		done
	done
	none_hooked
}

test_wrong_first_bytes() {
	needs_takeover
	if [ "$(uname -m)" != x86_64 ]; then
		echo "the first bytes are examined on x86-64 only" >$WORK/skip
		return
	fi
	load "$(ours zsmalloc_rs)"
	rival_on bytes
	load_refused zsmalloc_takeover 'zs_malloc begins with 0f 1f 40 00 0f 1f 44 00 00'
	none_hooked
	rival_off
	load "$(ours zsmalloc_takeover)"
	all_hooked
}

ftrace_on() {
	echo 1 >$SWITCH
}

# Without ftrace, our handles would reach C code.
test_ftrace_stays_on() {
	needs_takeover
	local direct
	allow_begin 'The ftrace_enabled file is deprecated'
	if ! { echo 0 >$SWITCH; } 2>/dev/null; then
		echo "this kernel's ftrace cannot be turned off" >$WORK/skip
		exit 0
	fi
	allow_end
	ftrace_on
	load "$(ours zsmalloc_rs)"
	load_zram 1
	for direct in Y N; do
		load "$(ours zsmalloc_takeover)" direct=$direct
		zram_setup zram0 $((4 << 20))
		blk copy /dev/zram0 $((4 << 20))
		if { echo 0 >$SWITCH; } 2>/dev/null; then
			ftrace_on
			fail "direct=$direct: ftrace was turned off"
		fi
		blk verify /dev/zram0 $((4 << 20))
		zram_reset zram0
		unload zsmalloc_takeover
		echo 0 >$SWITCH
		trap ftrace_on EXIT
		load_refused zsmalloc_takeover 'kernel.ftrace_enabled is 0' direct=$direct
		ftrace_on
	done
}
