#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run the tests in tests/*.sh: each function test_* there is one, in a shell of
# its own, with no module loaded before and nothing left behind after. The results
# are in the kernel log: a file is a test, its functions are the subtests.
# usage: run-tests.sh [PATTERN]; a shell pattern on FILE/FUNCTION, such as
# '@(kunit|stress)/*'.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/clean.sh"

shopt -s extglob
pattern=${1:-*}
log=$WORK/test.log

# usage: tests_of FILE; $name of the file, and $tests of its tests that the pattern chooses
tests_of() {
	local test
	name=${1##*/??-} name=${name%.sh} tests=()
	# shellcheck disable=SC2013 # names of functions
	for test in $(sed -n 's/^test_\([a-z0-9_]*\)() {$/\1/p' "$1"); do
		# shellcheck disable=SC2053 # a pattern is meant
		[[ $name/$test != $pattern ]] || tests+=("$test")
	done
}

# Of what a command printed, the end.
note_log() {
	tail -n "${1:-15}" $log | while IFS= read -r line; do
		note "$line"
	done
}

# usage: leak_test NUMBER SECONDS; a result of its own, for all before it.
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

# usage: run_test FILE NUMBER; it is called $TEST
run_test() {
	local begin=$SECONDS rc verdict=ok why
	mark "begin $name/$TEST"
	rm -f $WORK/skip $WORK/results
	# Not in a condition: there, set -e would be off. Without the rest, a failure
	# in front of a pipe or inside $(...) would be lost.
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
	# First whether it went well: what was not tested may have left something, too.
	if [ $rc -ne 0 ]; then
		verdict="not ok"
		[ ! -e $WORK/skip ] || note "would be left out: $(cat $WORK/skip)"
		note_log
	elif [ -e $WORK/skip ]; then
		why="SKIP $(cat $WORK/skip)"
	fi
	if [ -e $WORK/results ]; then
		# kunit.py counts what has no results within: this one, too, then.
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

# Of the boot, not of ours.
leaks >/dev/null
# KUnit's own lines have level 6. Before this one they are none of ours.
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
