# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Shared by the host scripts: where things are, how to talk, how to fail.

# A failure inside $(...) ends that, too, as it does outside.
shopt -s inherit_errexit
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for those who source this
BUILD=$ROOT/build
# What apt and cargo say when they reach nothing.
# shellcheck disable=SC2034
NO_NETWORK='^Err:|Failed to fetch|Could not resolve|Temporary failure|Unable to connect|failed to download|Network is unreachable|Operation timed out|spurious network error'
# When the first of these scripts began; those it calls inherit it.
export ZS_START=${ZS_START:-$EPOCHSECONDS}

# Elapsed time as m:ss.
elapsed() {
	local s=$((EPOCHSECONDS - ZS_START))
	printf '%d:%02d' $((s / 60)) $((s % 60))
}

say() {
	printf '[%s] %s\n' "$(elapsed)" "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# A folder is ours until this script and what it started end; a later run waits for that.
hold() {
	local fd
	mkdir -p "$1"
	exec {fd}>>"$1/.lock"
	if ! flock -n "$fd"; then
		say "waiting for the run that uses $1"
		flock "$fd"
	fi
}

# Run a long command with its output in a log and a line of progress every few
# seconds. The progress command prints a word or two and may be any function.
#
# A command that is a function ends with what fails in it (set -e), also when the caller
# asks for the status: bash ignores set -e in all that runs below ||, && or if, in
# subshells and in the background as well, but not in a process substitution.
# usage: with_progress LOG "what" progress_command command...
with_progress() {
	local log=$1 what=$2 progress=$3 fd pid rc t=0
	shift 3
	mkdir -p "$(dirname "$log")"
	exec {fd}< <(
		exec >"$log" 2>&1 </dev/null
		# To be stopped itself, and not by way of a shell.
		[ "$(type -t "$1")" != file ] || exec "$@"
		set -e
		"$@"
	)
	pid=$!
	# A stop of the script stops the command, too.
	trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		t=$((t + 1))
		if [ $((t % 50)) -eq 0 ]; then
			say "$what: $($progress "$log")"
		fi
	done
	rc=0
	wait "$pid" || rc=$?
	exec {fd}<&-
	trap - INT TERM
	return "$rc"
}

# The same, and if it fails the end of the log and no way back.
logged() {
	local log=$1 what=$2
	with_progress "$@" || {
		{
			echo "--- end of $log ---"
			# The first error is worth more than the last lines.
			grep -n -m5 -iE '(^|[^a-z_-])(error|fatal)([:[]|$)' "$log" || true
			tail -n 25 "$log"
			echo "---"
		} >&2
		die "$what failed (log: $log)"
	}
}

log_lines() {
	wc -l <"$1"
}

last_line() {
	tail -n 1 "$1" | sed "s|$BUILD/||g; s/^ *\(\[[0-9:]*\] \)*//" | cut -c-90
}
