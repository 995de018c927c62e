# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086
# Print results as KTAP (Documentation/dev-tools/ktap.rst in the kernel). They go to
# the kernel log, where KUnit prints its own, so that kunit.py reads both from the
# console. Sourced by lib.sh.

KMSG=${KMSG:-/dev/kmsg}
# Indentation of results, four blanks per level as in KUnit.
INDENT=

ktap() {
	local line=$INDENT$*
	# A record of the kernel log has at most 1024 bytes.
	echo "${line:0:900}" >>$KMSG
}

# Print a diagnostic line about the running test.
note() {
	ktap "# $*"
}

# Begin the subtests of NAME. usage: subtests NAME [COUNT]
subtests() {
	INDENT+='    '
	ktap "KTAP version 1"
	ktap "# Subtest: $1"
	[ -z "${2:-}" ] || ktap "1..$2"
}

subtests_end() {
	INDENT=${INDENT#    }
}

# Turn the running test into a group of subtests. To be called before something
# that prints results by itself.
more_results() {
	[ -e $WORK/results ] || {
		: >$WORK/results
		subtests $TEST
		subtests_end
	}
}

# Report a subtest of the running test.
# usage: result "ok"|"not ok" NAME [DIRECTIVE...]
result() {
	more_results
	echo "$1" >>$WORK/results
	ktap "    $1 $(wc -l <$WORK/results) $2${3:+ # ${*:3}}"
}
