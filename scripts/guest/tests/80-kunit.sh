# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# The KUnit tests of rust/kunit.

# Run the suites that match a pattern on the allocator that is loaded. They print their
# results to the kernel log; a copy is in $WORK/ktap. usage: kunit PATTERN
kunit() {
	local id=$RANDOM$RANDOM verdict=ok cases ours
	more_results
	mark "kunit $id"
	# A newline would be part of the pattern.
	printf %s "$1" >/sys/module/kunit/parameters/filter_glob
	insmod "$(ours zsmalloc_kunit)" || fail "zsmalloc_kunit did not load"
	dmesg | sed -E "1,/zs-test: kunit $id/d; s/^(\[[^]]*\])+ //" >$WORK/ktap
	! grep '^ *not ok' $WORK/ktap || verdict="not ok"
	result "$verdict" zsmalloc_kunit
	unload zsmalloc_kunit
	[ "$verdict" = ok ] || fail "unit tests failed"
	# Each case runs once per allocator that exists, so check that ours did.
	cases=$(grep -cE '^ {4}ok ' $WORK/ktap) || fail "no unit test in the kernel log"
	ours=$(grep -cE '^ {8}ok [0-9]+ rust\b' $WORK/ktap || :)
	[ "$ALLOC" != rust ] || [ $cases -eq $ours ] || fail "$ours of $cases unit tests ran on ours"
}

test_suites() {
	load_without_background
	kunit "${ZS_KUNIT:-zsmalloc_*}"
}
