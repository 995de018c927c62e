#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run the tests in tests/*.sh: each function test_* there is one, in a shell of
# its own, with no module loaded before and nothing left behind after. Prints
# `ok NAME`, `not ok NAME` and, for a failure, what it said, or `skip NAME`.
# usage: run-tests.sh [PATTERN]; a shell pattern on FILE/FUNCTION, such as
# '@(kunit|stress)/*'.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/clean.sh"

shopt -s extglob
pattern=${1:-*}
tests=$(dirname "$0")/tests
log=$WORK/test.log

# usage: leak_test NAME SECONDS; a result of its own, for all before it.
leak_test() {
	[ -e $DEBUGFS/kmemleak ] || return 0
	sleep "$2"
	if leaks >$log; then
		echo "ok kmemleak/$1"
	else
		echo "not ok kmemleak/$1"
		sed 's/^/    # /' $log
	fi
}

# Of the boot, not of ours.
leaks >/dev/null
for file in "$tests"/*.sh; do
	base=$(basename "$file" .sh)
	ran=
	# Names of functions, so the words are right.
	# shellcheck disable=SC2013
	for t in $(sed -n 's/^\(test_[a-z0-9_]*\)() {$/\1/p' "$file"); do
		name=${base#*-}/${t#test_}
		# shellcheck disable=SC2254 # a pattern is meant
		case $name in
		$pattern) ;;
		*) continue ;;
		esac
		begin=$SECONDS
		ran=1
		mark "begin $name"
		rm -f $WORK/skip $WORK/results
		# Not in a condition: there, set -e would be off. Without the rest, a failure
		# in front of a pipe or inside $(...) would be lost.
		(
			set -eo pipefail
			shopt -s inherit_errexit
			# shellcheck source=/dev/null
			. "$file"
			$t
		) >$log 2>&1
		rc=$?
		clean_up >>$log 2>&1 || rc=1
		mark "end $name"
		[ ! -e $WORK/results ] || cat $WORK/results
		# First whether it went well: what was not tested may have left something, too.
		if [ $rc -ne 0 ]; then
			echo "not ok $name ($((SECONDS - begin)) s)"
			[ ! -e $WORK/skip ] || echo "    # would be left out: $(cat $WORK/skip)"
			tail -n 15 $log | sed 's/^/    # /'
		elif [ -e $WORK/skip ]; then
			echo "skip $name: $(cat $WORK/skip)"
		else
			echo "ok $name ($((SECONDS - begin)) s)"
		fi
	done
	[ -z "$ran" ] || leak_test "${base#*-}" 0
done
leak_test end 6
exit 0
