# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Sourced by the scripts on the host: paths, messages, errors.

# set -e also applies inside $(...).
shopt -s inherit_errexit
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for those who source this
BUILD=$ROOT/build
# Debian's own kernels, see stock-kernel.
# shellcheck disable=SC2034
STOCK_FLAVOURS=(stock cloud 7.2 7.3 stock-arm64 stock-arm64-16k 7.3-arm64 7.3-arm64-16k)
# Messages of apt, debootstrap and cargo without a network.
# shellcheck disable=SC2034
NO_NETWORK='^Err:|^E: Failed getting release file|Failed to fetch|Could not resolve|Temporary failure|Unable to connect|failed to download|Network is unreachable|Operation timed out|spurious network error'
# Start time of the outermost script.
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

# Reserve a folder until this script and its children exit; wait if it is in use.
hold() {
	local fd
	mkdir -p "$1"
	exec {fd}>>"$1/.lock"
	if ! flock -n "$fd"; then
		say "waiting for the run that uses $1"
		flock "$fd"
	fi
}

# Run a long command with its output in a log, and print progress every few seconds.
# The progress command may be a function.
#
# If the command is a function, set -e applies in it even if the caller tests the
# status. bash ignores set -e in everything run below ||, && or if, subshells and
# background jobs included, but not in a process substitution.
# usage: with_progress LOG "what" progress_command command...
with_progress() {
	local log=$1 what=$2 progress=$3 fd pid rc t=0
	shift 3
	mkdir -p "$(dirname "$log")"
	exec {fd}< <(
		exec >"$log" 2>&1 </dev/null
		# So that signals reach the command and not a shell.
		[ "$(type -t "$1")" != file ] || exec "$@"
		set -e
		"$@"
	)
	pid=$!
	# Stop the command with the script.
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

# The same; on failure print the end of the log and exit. For a full disk and a missing
# network print one line.
logged() {
	local log=$1 what=$2
	with_progress "$@" || {
		if grep -q 'No space left on device' "$log"; then
			die "$what failed: the disk is full (log: $log)"
		elif grep -qE "$NO_NETWORK" "$log"; then
			die "$what failed: no network; run again with one (log: $log)"
		fi
		{
			echo "--- end of $log ---"
			# The first errors say more than the last lines.
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
