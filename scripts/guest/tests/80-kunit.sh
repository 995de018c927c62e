# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# The unit tests inside the kernel: modules that report to the kernel log. What
# they are is in rust/kunit/.

# Load the suites that match a pattern, on the allocator that is loaded, and
# turn each of their results into one of ours. What they said is in $WORK/ktap.
# usage: kunit PATTERN
kunit() {
	local reader id=$RANDOM$RANDOM
	# From here on, however much it is: the log's own buffer may not hold it.
	dmesg -n 7
	cat /dev/kmsg >$WORK/kmsg &
	reader=$!
	mark "kunit-begin $id"
	# Without a newline: it would be part of the pattern.
	printf %s "$1" >/sys/module/kunit/parameters/filter_glob
	insmod "$(ours zsmalloc_kunit)" || fail "zsmalloc_kunit did not load"
	mark "kunit-end $id"
	wait_for 20 grep -q "zs-test: kunit-end $id" $WORK/kmsg || fail "no end in the kernel log"
	kill $reader
	wait $reader || :
	# "level,number,time,flags;text", of which only the text.
	sed "1,/zs-test: kunit-begin $id/d; /zs-test: kunit-end $id/,\$d; /^ /d; s/^[^;]*;//; s/\\\\x0a/\n/g" \
		$WORK/kmsg >$WORK/ktap
	# A case is run once per allocator; cases that run on none are left out.
	awk '
		/^    # Subtest: / { suite = $3 }
		/^        # Subtest: / { name = $3 }
		/^ *(not )?ok [0-9]+ / {
			verdict = $1 == "not" ? "not ok" : "ok"
			match($0, /^ */)
			level = RLENGTH
			line = $0
			sub(/^ *(not )?ok [0-9]+ (- )?/, "", line)
			skipped = verdict == "ok" && line ~ /# SKIP/
			sub(/ *#.*/, "", line)
			if (level == 8 && skipped) print "skip kunit/" suite "/" name "/" line
			else if (level == 8) print verdict " kunit/" suite "/" name "/" line
			if (level == 8) on[line]++
			# Not one allocator is there for it; or, of ours, not the one to test.
			else if (level == 4 && !on["rust"]) {
				if (alloc == "rust") print "not ok kunit/" suite "/" line ": did not run on ours"
				else if (!on["c"]) print "skip kunit/" suite "/" line ": for the Rust allocator"
			}
			if (level == 4) delete on
		}' alloc="$ALLOC" $WORK/ktap >$WORK/kunit.results
	cat $WORK/kunit.results >>$WORK/results
	unload zsmalloc_kunit
	# All that was announced: suites, and cases of each suite.
	awk '
		/^ *1\.\.[0-9]+$/ { match($0, /^ */); announced[RLENGTH] += substr($1, 4) }
		/^ *(not )?ok [0-9]+ / { match($0, /^ */); came[RLENGTH]++ }
		END {
			if (!announced[0] || !announced[4]) bad = 1
			for (level in announced) {
				print "announced at " level ": " announced[level] ", came: " came[level]
				if (announced[level] != came[level]) bad = 1
			}
			exit bad
		}' $WORK/ktap || fail "not all unit tests ended"
	grep -q '^ok' $WORK/kunit.results || {
		tail -n 20 $WORK/ktap
		fail "no result in the kernel log"
	}
	if grep '^not ok' $WORK/kunit.results; then
		grep -vE '^ *(ok|# Subtest|KTAP|1\.\.)' $WORK/ktap | grep -m40 -A5 'EXPECTATION\|ASSERTION'
		fail "unit tests failed"
	fi
}

test_kunit() {
	load_allocator
	kunit "${ZS_KUNIT:-zsmalloc_*}"
}
