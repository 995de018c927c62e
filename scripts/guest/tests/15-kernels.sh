# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Kernels with zsmalloc built in and without it: the flavours `builtin` and `absent`.

# usage: needs_kernel WORDS CONDITION...
needs_kernel() {
	local words=$1
	shift
	if ! "$@"; then
		echo "needs a kernel $words" >$WORK/skip
		exit 0
	fi
}

kernel_has() {
	zcat /proc/config.gz | grep "^$1\$" >/dev/null
}

kernel_lacks() {
	! kernel_has "$1=.*"
}

# usage: zswap_works ZPOOL
zswap_works() {
	zswap_on $1
	cgroup_make zs-t $((36 << 20))
	hog_start zs-t $((40 << 20))
	hog fill
	echo $((40 << 20)) >$CGROUP/zs-t/memory.reclaim 2>/dev/null || :
	zswap_has "$(pages 4000)"
	hog verify
	hog_stop
	cgroup_remove zs-t
	zswap_off
}

test_beside_a_built_in_one() {
	needs_rust
	needs_kernel "with CONFIG_ZSMALLOC=y" kernel_has CONFIG_ZSMALLOC=y
	needs_zpool
	for m in zsmalloc zsmalloc_c; do
		[ ! -e "$(ours $m)" ] || fail "$m.ko was built, which cannot be loaded here"
	done
	load "$(ours zsmalloc_rs)"
	swap_on $SWAP
	zswap_works zsmalloc_rs
	[ "$(rs_stat pages)" -eq 0 ] || fail "$(rs_stat pages) pages are left"
	# The built-in zsmalloc still works.
	zswap_works zsmalloc
	load_zram 1
	zram_setup zram0 $((16 << 20))
	blk copy /dev/zram0 $((16 << 20))
	zswap_works zsmalloc_rs
	blk verify /dev/zram0 $((16 << 20))
}

test_without_one_of_the_kernels() {
	needs_rust
	needs_kernel "without CONFIG_ZSMALLOC" kernel_lacks CONFIG_ZSMALLOC
	needs_zpool
	load_allocator
	swap_on $SWAP
	zswap_works zsmalloc_rs
	# By the name of the drop-in's zpool type.
	zswap_works zsmalloc
	unload_all
	# zswap loads the module.
	zswap_works zsmalloc_rs
	loaded zsmalloc_rs || fail "choosing zsmalloc_rs for zswap did not load it"
}
