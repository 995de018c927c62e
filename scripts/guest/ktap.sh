# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086
# Results as KTAP, see Documentation/dev-tools/ktap.rst of the kernel. They go to the
# kernel log: KUnit's are there, and kunit.py reads both from the console. lib.sh has
# this.

KMSG=${KMSG:-/dev/kmsg}
# How far results are indented: four blanks for each level, as KUnit has it.
INDENT=

ktap() {
	local line=$INDENT$*
	# A record of the kernel log has at most 1024 bytes.
	echo "${line:0:900}" >>$KMSG
}

# A line about the test that is running.
note() {
	ktap "# $*"
}

# What follows are results that are part of NAME, until subtests_end.
# usage: subtests NAME [HOW_MANY]
subtests() {
	INDENT+='    '
	ktap "KTAP version 1"
	ktap "# Subtest: $1"
	[ -z "${2:-}" ] || ktap "1..$2"
}

subtests_end() {
	INDENT=${INDENT#    }
}

# Before what reports by itself: from here on, the test that is running has results
# besides its own, and its name is only that of all of them.
more_results() {
	[ -e $WORK/results ] || {
		: >$WORK/results
		subtests $TEST
		subtests_end
	}
}

# A result besides that of the test function itself.
# usage: result "ok"|"not ok" NAME [DIRECTIVE...]
result() {
	more_results
	echo "$1" >>$WORK/results
	ktap "    $1 $(wc -l <$WORK/results) $2${3:+ # ${*:3}}"
}
