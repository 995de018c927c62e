# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Shared by the host scripts: where things are, how to talk, how to fail.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for those who source this
BUILD=$ROOT/build
START=${ZS_START:-$SECONDS}

# Elapsed time as m:ss, since this script began.
elapsed() {
	local s=$((SECONDS - START))
	printf '%d:%02d' $((s / 60)) $((s % 60))
}

say() {
	printf '[%s] %s\n' "$(elapsed)" "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Run a long command with its output in a log; a line of progress every few
# seconds; the end of the log if it fails. The progress command prints a word
# or two and may be any function.
# usage: logged LOG "what" progress_command command...
logged() {
	local log=$1 what=$2 progress=$3 pid rc t=0
	shift 3
	mkdir -p "$(dirname "$log")"
	"$@" >"$log" 2>&1 </dev/null &
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
	trap - INT TERM
	if [ "$rc" -ne 0 ]; then
		{
			echo "--- end of $log ---"
			# The first error is worth more than the last lines.
			grep -n -m5 -iE '(^|[^a-z_-])(error|fatal)([:[]|$)' "$log" || true
			tail -n 25 "$log"
			echo "---"
		} >&2
		die "$what failed (log: $log)"
	fi
}

log_lines() {
	wc -l <"$1"
}
