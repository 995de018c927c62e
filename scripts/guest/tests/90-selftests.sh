# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# The kernel's own selftests. A case that fails on the Rust allocator also runs on the
# C allocator in the same guest. If it fails there too, it is skipped.

# Wait until zram has a pool of ours.
zram_is_ours() {
	until [ -d $DEBUGFS/zsmalloc_rs/zram0 ]; do
		sleep 0.02
	done
	: >$WORK/zram-is-ours
}

# usage: zram_case NAME rust|c; prints PASS, FAIL or SKIP and leaves a log
zram_case() {
	local rc watcher log=/run/result/$1.$2.log
	unload_all
	if [ "$2" = rust ] && [ $FACE = zsmalloc_takeover ]; then
		load_allocator
	fi
	# The test loads zram by modprobe, which prefers the drop-in.
	if [ "$2" = c ]; then
		mv "$MODULES/updates" /lib/ours && depmod
	fi
	rm -f $WORK/zram-is-ours
	zram_is_ours >/dev/null 2>&1 &
	watcher=$!
	(cd /guest/zram-selftest && timeout 120 "./$1.sh") >"$log" 2>&1
	rc=$?
	kill $watcher
	wait $watcher
	if [ "$2" = rust ] && [ ! -e $WORK/zram-is-ours ]; then
		echo "FAIL: not on the Rust allocator" >>"$log"
	fi
	unload_all
	if [ "$2" = c ]; then
		mv /lib/ours "$MODULES/updates" && depmod
	fi
	if [ $rc -eq 4 ]; then
		echo SKIP
	elif [ $rc -eq 0 ] && grep -q "$1 : \[PASS\]" "$log" && ! grep -q FAIL "$log"; then
		echo PASS
	else
		echo FAIL
	fi
}

# usage: judge NAME RESULT LOG RESULT_ON_C
judge() {
	if [ "$2" = PASS ]; then
		result ok "$1"
	elif [ "$ALLOC" = c ]; then
		result ok "$1" "SKIP $2 on C"
	elif [ "${4:-PASS}" != PASS ]; then
		result ok "$1" "SKIP $2 on Rust, $4 on C"
	else
		tail -n 15 "$3" | while IFS= read -r line; do note "$line"; done
		result "not ok" "$1" "$2 on Rust${4:+, $4 on C}"
	fi
}

test_zram_selftests() {
	set +e
	for t in zram01 zram02; do
		r=$(zram_case $t "$ALLOC")
		c=
		if [ "$r" != PASS ] && [ "$ALLOC" = rust ]; then
			c=$(zram_case $t c)
		fi
		judge "$t" "$r" "/run/result/$t.$ALLOC.log" "$c"
	done
}

# Run all cases on one allocator. Children flush the inherited stdout buffer, so lines
# appear several times.
zswap_cases() {
	unload_all
	if [ "$1" = c ]; then
		built_in zsmalloc || load "$(kernels zsmalloc)"
		zswap_on zsmalloc
	else
		load_allocator
		zswap_on zsmalloc_rs
	fi
	swap_on $SWAP
	timeout 300 test_zswap >"/run/result/zswap.$1.log" 2>&1
	swap_off $SWAP
	zswap_off
}

zswap_result() {
	case $(grep -E "ok [0-9]+ (# SKIP )?$2( |\$)" "/run/result/zswap.$1.log") in
	*SKIP*) echo SKIP ;;
	"ok "*) echo PASS ;;
	*) echo FAIL ;;
	esac
}

test_zswap_selftests() {
	needs_zswap
	# test_no_kmem_bypass raises min_free_kbytes until allocations fail, and kmemleak
	# then disables itself for good.
	if [ -e $DEBUGFS/kmemleak ]; then
		echo "disables kmemleak" >$WORK/skip
		exit 0
	fi
	# Its cgroups are too small for such pages.
	if [ $PAGE_SIZE -gt 16384 ]; then
		echo "ends early with pages of 64 KiB, on C, too" >$WORK/skip
		exit 0
	fi
	set +e
	zswap_cases "$ALLOC"
	names=$(grep -oE 'ok [0-9]+ .*' "/run/result/zswap.$ALLOC.log" | grep -oE 'test_[a-z_]+' |
		awk '!seen[$0]++')
	[ "$(echo "$names" | wc -w)" -ge 7 ] || {
		cat "/run/result/zswap.$ALLOC.log"
		fail "not all cases ran"
	}
	if [ "$ALLOC" = rust ] && grep -qE '^not ok|SKIP' /run/result/zswap.rust.log; then
		zswap_cases c
	fi
	for t in $names; do
		c=
		[ "$ALLOC" = c ] || [ ! -e /run/result/zswap.c.log ] || c=$(zswap_result c "$t")
		judge "$t" "$(zswap_result "$ALLOC" "$t")" "/run/result/zswap.$ALLOC.log" "$c"
	done
}
