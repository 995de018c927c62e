# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Load and unload the modules: in the wrong order, in use, beside the C allocator.

test_load_unload_twice() {
	for _ in 1 2; do
		load_allocator
		load_zram 1
		unload_all
		not_loaded zsmalloc || fail "zsmalloc is still loaded"
		not_loaded zsmalloc_rs || fail "zsmalloc_rs is still loaded"
	done
}

test_dropin_needs_the_allocator() {
	needs_rust
	needs_module
	expect_begin 'zsmalloc: Unknown symbol zs_(rs|c)_\w+ \(err -2\)$'
	refused 'Unknown symbol' insmod "$(ours zsmalloc)"
	expect_end
	not_loaded zsmalloc || fail "the drop-in is loaded"
}

test_unload_refused_under_zram() {
	needs_module
	load_allocator
	load_zram 1
	zram_setup zram0 $((8 << 20))
	blk copy /dev/zram0 $((8 << 20))
	refused 'is in use' rmmod zsmalloc
	[ "$ALLOC" = c ] || refused 'is in use' rmmod zsmalloc_rs
	blk verify /dev/zram0 $((8 << 20))
}

test_unload_refused_under_zswap() {
	needs_zpool
	load_allocator
	zswap_on $ZPOOL
	if [ "$ALLOC" = rust ]; then
		unload zsmalloc zsmalloc_c
	fi
	refused 'is in use' rmmod $ZPOOL
	zswap_off
	unload $ZPOOL
}

test_beside_the_c_allocator() {
	needs_rust
	needs_zpool
	load "$(kernels zsmalloc)"
	load "$(ours zsmalloc_rs)"
	load_zram 1
	zram_setup zram0 $((16 << 20))
	zswap_on zsmalloc_rs
	swap_on $SWAP
	cgroup_make zs-t $((24 << 20))
	hog_start zs-t $((32 << 20))
	hog fill
	zswap_has "$(pages 1000)"
	[ "$(rs_stat pages)" -gt 0 ] || fail "zswap uses no page of ours"
	blk copy /dev/zram0 $((16 << 20))
	zram_has zram0 $((8 << 20))
	hog verify
	blk verify /dev/zram0 $((16 << 20))
	[ -d $DEBUGFS/zsmalloc_rs ] || fail "our debugfs folder is missing"
	[ -d $DEBUGFS/zsmalloc/zram0 ] || fail "zram is not on the C allocator"
	hog_stop
}

test_dropin_refused_beside_the_c_allocator() {
	needs_rust
	needs_module
	load "$(kernels zsmalloc)"
	load "$(ours zsmalloc_rs)"
	refused 'File exists' insmod "$(ours zsmalloc)"
	load_zram 1
	zram_setup zram0 $((4 << 20))
	blk copy /dev/zram0 $((4 << 20))
	blk verify /dev/zram0 $((4 << 20))
}

test_modprobe_prefers_the_dropin() {
	needs_rust
	needs_module
	modprobe zram || fail "modprobe zram"
	loaded zsmalloc_rs || fail "modprobe zram did not bring in zsmalloc_rs"
	zram_setup zram0 $((4 << 20))
	[ -d $DEBUGFS/zsmalloc_rs/zram0 ] || fail "zram0 is not on the Rust allocator"
}

test_zswap_loads_the_module() {
	needs_rust
	needs_zpool
	zswap_on $ZPOOL
	loaded $ZPOOL || fail "choosing $ZPOOL for zswap did not load it"
}
