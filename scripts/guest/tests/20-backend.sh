# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# The backend parameter of the drop-in and the takeover.

backend_is() {
	[ "$(cat $BACKEND)" = "$1" ] || fail "backend reads '$(cat $BACKEND)', not '$1'"
}

test_reads_like_comp_algorithm() {
	needs_two_backends
	load_allocator
	backend_is '[rust] c'
	echo c >$BACKEND || fail "c was refused"
	backend_is 'rust [c]'
	printf rust >$BACKEND || fail "rust without a newline was refused"
	backend_is '[rust] c'
}

test_unknown_name_is_einval() {
	needs_two_backends
	load_allocator
	echo c >$BACKEND
	for name in nonsense rus rustc '' 'rust c' C; do
		# bash prints the error of the write.
		if { echo "$name" >$BACKEND; } 2>$WORK/err; then
			fail "'$name' was accepted"
		fi
		grep -q 'Invalid argument' $WORK/err || fail "'$name': $(cat $WORK/err)"
		backend_is 'rust [c]'
	done
}

test_two_devices_two_allocators() {
	needs_two_backends
	load_allocator
	load_zram 2
	zram_setup zram0 $((24 << 20))
	echo c >$BACKEND
	zram_setup zram1 $((24 << 20))
	echo rust >$BACKEND
	[ -d $DEBUGFS/zsmalloc_rs/zram0 ] || fail "zram0 is not on the Rust allocator"
	[ ! -d $DEBUGFS/zsmalloc_rs/zram1 ] || fail "zram1 is on the Rust allocator"
	zs_blk copy $DATA /dev/zram0 $((24 << 20)) &
	local job=$!
	blk copy /dev/zram1 $((24 << 20))
	wait $job || fail "copy to zram0"
	for d in zram0 zram1; do
		blk scatter /dev/$d $((24 << 20)) 5:40:20
		echo 1 >/sys/block/$d/compact
		[ "$(mm_stat $d compacted)" -gt 0 ] || fail "$d: compaction freed nothing"
		blk verify /dev/$d $((24 << 20)) 5:40:20
	done
	# A new pool follows the parameter.
	zram_reset zram1
	zram_setup zram1 $((8 << 20))
	[ -d $DEBUGFS/zsmalloc_rs/zram1 ] || fail "zram1 is not on the Rust allocator now"
	blk verify /dev/zram0 $((24 << 20)) 5:40:20
}

test_zpool_type_follows_the_backend() {
	needs_dropin_c
	needs_zpool
	load_allocator
	swap_on $SWAP
	for b in c rust; do
		echo $b >$BACKEND
		zswap_on zsmalloc
		cgroup_make zs-t $((24 << 20))
		hog_start zs-t $((32 << 20))
		hog fill
		zswap_has "$(pages 1000)"
		if [ $b = rust ]; then
			[ "$(rs_stat pages)" -gt 0 ] || fail "rust: no page in our pools"
		else
			[ "$(rs_stat pages)" -eq 0 ] || fail "c: pages in our pools"
		fi
		hog verify
		hog_stop
		zswap_off
		# zswap would reuse the old pool while it exists.
		wait_for 10 unused zsmalloc || fail "$b: the pool stays"
	done
}

test_c_cannot_leave_under_a_pool() {
	needs_dropin_c
	load_allocator
	load_zram 1
	echo c >$BACKEND
	zram_setup zram0 $((4 << 20))
	blk copy /dev/zram0 $((4 << 20))
	refused 'is in use' rmmod zsmalloc_c
	zram_has zram0 $((2 << 20))
	blk verify /dev/zram0 $((4 << 20))
}
