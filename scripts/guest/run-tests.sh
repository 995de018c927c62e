#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run the tests in tests/*.sh: each function test_* is a test and runs in a shell of
# its own. No module of ours is loaded before and after it. The results are KTAP in
# the kernel log: a file is a test, its functions are subtests.
# usage: run-tests.sh [PATTERN]; a shell pattern on FILE/FUNCTION, such as
# '@(kunit|stress)/*'.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/clean.sh"

shopt -s extglob
pattern=${1:-*}
log=$WORK/test.log

# Set $name to the file's name and $tests to its tests that match. usage: tests_of FILE
tests_of() {
	local test
	name=${1##*/??-} name=${name%.sh} tests=()
	# shellcheck disable=SC2013 # names of functions
	for test in $(sed -n 's/^test_\([a-z0-9_]*\)() {$/\1/p' "$1"); do
		# shellcheck disable=SC2053 # a pattern is meant
		[[ $name/$test != $pattern ]] || tests+=("$test")
	done
}

# usage: note_log [LINES]; the end of the log
note_log() {
	tail -n "${1:-15}" $log | while IFS= read -r line; do
		note "$line"
	done
}

# Report leaks of all tests so far, as a test. usage: leak_test NUMBER SECONDS
leak_test() {
	local verdict=ok
	sleep "$2"
	leaks >$log || {
		verdict="not ok"
		note_log 40
	}
	ktap "$verdict $1 kmemleak"
	[ "$verdict" = ok ] || failed=1
}

# Run $TEST. usage: run_test FILE NUMBER
run_test() {
	local begin=$SECONDS rc verdict=ok why
	mark "begin $name/$TEST"
	rm -f $WORK/skip $WORK/results
	# Not in a condition, which would disable set -e. The other options catch failures
	# in front of a pipe and inside $(...).
	(
		set -eo pipefail
		shopt -s inherit_errexit
		# shellcheck source=/dev/null
		. "$1"
		"test_$TEST"
	) >$log 2>&1
	rc=$?
	clean_up >>$log 2>&1 || rc=1
	mark "end $name/$TEST"
	why="$((SECONDS - begin)) s"
	# A test that skipped may still have failed to clean up.
	if [ $rc -ne 0 ]; then
		verdict="not ok"
		[ ! -e $WORK/skip ] || note "wanted to skip: $(cat $WORK/skip)"
		note_log
	elif [ -e $WORK/skip ]; then
		why="SKIP $(cat $WORK/skip)"
	fi
	if [ -e $WORK/results ]; then
		# kunit.py counts only tests without subtests, so the test itself becomes one.
		result "$verdict" itself "$why"
		! grep -q '^not' $WORK/results || verdict="not ok"
	fi
	ktap "$verdict $2 $TEST # $why"
	[ "$verdict" = ok ] || failed=1
}

kmemleak=0
[ ! -e $DEBUGFS/kmemleak ] || kmemleak=1
files=()
for file in "$(dirname "$0")"/tests/*.sh; do
	tests_of "$file"
	[ ${#tests[@]} -eq 0 ] || files+=("$file")
done

# Drop leaks from before the tests.
leaks >/dev/null
# KUnit prints at level 6. What it prints at boot is not shown, see scripts/vm.
dmesg -n 7
ktap "KTAP version 1"
ktap "1..$((${#files[@]} + kmemleak))"
nr_file=0
for file in "${files[@]}"; do
	tests_of "$file"
	failed='' nr=0
	subtests "$name" $((${#tests[@]} + kmemleak))
	for TEST in "${tests[@]}"; do
		run_test "$file" $((nr += 1))
	done
	[ $kmemleak -eq 0 ] || leak_test $((nr + 1)) 0
	subtests_end
	ktap "${failed:+not }ok $((nr_file += 1)) $name"
done
[ $kmemleak -eq 0 ] || leak_test $((nr_file + 1)) 6
exit 0
