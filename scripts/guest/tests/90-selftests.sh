# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# The kernel tree's own tests. A case that fails on the Rust allocator runs on
# the kernel's C one as well, in this same guest; if it fails there, too, that
# is shown and is not counted as a failure of ours.

# usage: zram_case NAME rust|c; prints PASS, FAIL or SKIP and leaves a log
zram_case() {
	unload_all
	if [ "$2" = c ]; then
		load "$(kernels zsmalloc)"
	fi
	# The test loads zram itself, with modprobe: with nothing loaded, that
	# finds the drop-in.
	(cd /guest/zram-selftest && timeout 120 "./$1.sh") >"$WORK/$1.$2" 2>&1
	if [ $? -eq 4 ]; then
		echo SKIP
	elif grep -q "$1 : \[PASS\]" "$WORK/$1.$2" && ! grep -q FAIL "$WORK/$1.$2"; then
		echo PASS
	else
		echo FAIL
	fi
}

# usage: judge NAME RESULT LOG RESULT_ON_C
judge() {
	case $2:${4:-} in
	PASS:*) result ok "$1" ;;
	*:FAIL | *:SKIP) result same "$1: $2 on Rust, $4 on C" ;;
	*)
		result "not ok" "$1: $2 on $ALLOC${4:+, $4 on C}"
		sed 's/^/    # /' "$3" | tail -n 15 >>$WORK/results
		;;
	esac
}

test_zram_selftests() {
	set +e
	for t in zram01 zram02; do
		r=$(zram_case $t "$ALLOC")
		c=
		if [ "$r" != PASS ] && [ "$ALLOC" = rust ]; then
			c=$(zram_case $t c)
		fi
		judge "selftests/zram/$t" "$r" "$WORK/$t.$ALLOC" "$c"
	done
}

# One run of all cases on one allocator; "ok 1 name" lines in $WORK/zswap.$1.
zswap_cases() {
	unload_all
	if [ "$1" = c ]; then
		load "$(kernels zsmalloc)"
		zswap_on zsmalloc
	else
		load_allocator
		zswap_on zsmalloc_rs
	fi
	swap_on $SWAP
	timeout 300 test_zswap >"$WORK/zswap.$1" 2>&1
	swap_off $SWAP
	zswap_off
}

zswap_result() {
	case $(grep -E "ok [0-9]+ (# SKIP )?$2( |\$)" "$WORK/zswap.$1") in
	*SKIP*) echo SKIP ;;
	"ok "*) echo PASS ;;
	*) echo FAIL ;;
	esac
}

test_zswap_selftests() {
	set +e
	zswap_cases "$ALLOC"
	names=$(grep -oE 'ok [0-9]+ .*' "$WORK/zswap.$ALLOC" | grep -oE 'test_[a-z_]+')
	[ "$(echo "$names" | wc -w)" -ge 7 ] || {
		cat "$WORK/zswap.$ALLOC"
		fail "not all cases ran"
	}
	if [ "$ALLOC" = rust ] && grep -qE '^not ok|SKIP' $WORK/zswap.rust; then
		zswap_cases c
	fi
	for t in $names; do
		c=
		[ ! -e $WORK/zswap.c ] || c=$(zswap_result c "$t")
		judge "selftests/cgroup/$t" "$(zswap_result "$ALLOC" "$t")" "$WORK/zswap.$ALLOC" "$c"
	done
}
