# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# The unit tests inside the kernel: a module that reports to the kernel log.

test_kunit() {
	needs_rust
	modprobe zsmalloc_kunit || fail "zsmalloc_kunit did not load"
	dmesg | sed -n '/zs-test: begin kunit/h;//!H;$!d;x;p' >$WORK/ktap
	# "    ok 3 name" within "# Subtest: suite"; parameters are indented more.
	sed -E 's/^\[ *[0-9.]+\](\[[ A-Z0-9]+\])? //' $WORK/ktap | awk '
		$1 == "#" && $2 == "Subtest:" { if (/^    #/) suite = $3; next }
		/^    (not )?ok [0-9]+ / {
			bad = $1 == "not"
			line = $0
			sub(/^ *(not )?ok [0-9]+ (- )?/, "", line)
			skipped = line ~ /# SKIP/
			sub(/ *#.*/, "", line)
			if (skipped) next
			print (bad ? "not ok" : "ok") " kunit/" suite "/" line
			n++
		}' >$WORK/kunit.results
	cat $WORK/kunit.results >>$WORK/results
	[ -s $WORK/kunit.results ] || fail "no result in the kernel log"
	if grep '^not ok' $WORK/kunit.results; then
		grep -B3 -A3 'not ok' $WORK/ktap
		fail "unit tests failed"
	fi
	rmmod zsmalloc_kunit || fail "rmmod zsmalloc_kunit"
}
