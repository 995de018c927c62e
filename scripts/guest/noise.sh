# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086
# Background load for tests: commands that repeat until the test ends. `noise` starts
# one, `noise_off` stops all and fails if one of them did nothing. Sourced by lib.sh.

NOISE=()

# usage: noise NAME command...
# Rounds in which the command succeeds are counted. It may fail at times; if it exits,
# noise_off fails.
noise() {
	local name=$1
	shift
	mkdir -p $WORK/noise
	rm -f $WORK/noise/$name $WORK/noise/$name.did $WORK/noise/$name.end
	# Also stop when the test fails.
	trap noise_kill EXIT
	(
		trap - EXIT
		rounds=0 tries=0
		# A file, not a signal: a trap that runs while bash parses $(...) breaks its syntax.
		until [ -e $WORK/noise/$name.end ]; do
			tries=$((tries + 1))
			if "$@"; then
				[ $rounds -gt 0 ] || : >$WORK/noise/$name.did
				rounds=$((rounds + 1))
			else
				sleep 0.05
			fi
		done
		echo $rounds $tries >$WORK/noise/$name
	) >$WORK/noise/$name.said 2>&1 &
	NOISE+=("$name $!")
}

noise_kill() {
	local job
	for job in "${NOISE[@]}"; do
		kill -9 ${job#* } || :
		wait ${job#* } || :
	done
	NOISE=()
} 2>/dev/null

# Whether each has done a round.
noise_did() {
	local job
	for job in "${NOISE[@]}"; do
		[ -e $WORK/noise/${job% *}.did ] || return 1
	done
}

# Stop all, note how many rounds each did, and fail if one did none or exited.
noise_off() {
	local job name pid rounds tries said='' silent=''
	[ ${#NOISE[@]} -gt 0 ] || fail "there is no noise"
	for job in "${NOISE[@]}"; do
		kill -0 ${job#* } 2>/dev/null || silent+=", ${job% *} died"
		: >$WORK/noise/${job% *}.end
	done
	for job in "${NOISE[@]}"; do
		name=${job% *} pid=${job#* } rounds=0 tries=0
		wait $pid || :
		# Not written by one that exited.
		[ ! -e $WORK/noise/$name ] || read -r rounds tries <$WORK/noise/$name
		said+=", $name $rounds"
		[ $rounds -eq $tries ] || said+=" of $tries"
		[ $rounds -gt 0 ] || silent+=", $name did nothing: $(tail -n 1 $WORK/noise/$name.said)"
	done
	NOISE=()
	trap - EXIT
	note "rounds meanwhile: ${said#, }"
	[ -z "$silent" ] || fail "noise: ${silent#, }"
}

# --- kinds of load ---
# usage: noise NAME put VALUE FILE
put() {
	echo "$1" >"$2"
}

# Take CPUs offline and online again.
other_cpus() {
	ls /sys/devices/system/cpu/cpu[1-9]*/online
} 2>/dev/null

noise_of_cpus() {
	local cpu
	for cpu in $(other_cpus); do
		put 0 $cpu || return
		sleep 0.1
		put 1 $cpu || return
	done
}

# Compact memory, if the kernel can, and allocate and free huge pages.
noise_of_memory() {
	local huge
	[ ! -e /proc/sys/vm/compact_memory ] || put 1 /proc/sys/vm/compact_memory || return
	put 200 /proc/sys/vm/nr_hugepages || return
	huge=$(cat /proc/sys/vm/nr_hugepages)
	put 0 /proc/sys/vm/nr_hugepages || return
	sleep 0.1
	[ $huge -gt 0 ]
}

# Count and scan by the shrinkers of some pools, through debugfs. A pool may vanish.
# usage: noise NAME noise_of_shrinkers GLOB
noise_of_shrinkers() {
	local dir said done=1
	for dir in $DEBUGFS/shrinker/mm-zspool:$1; do
		# No fork for each: that would take longer than the rest.
		if mapfile said <"$dir/count" && put "0 0 1000" "$dir/scan"; then
			done=0
		fi
	done
	return $done
}

# Read the debugfs files of all pools. A pool may vanish.
noise_of_readers() {
	local file said done=1
	for file in "$DEBUGFS"/zsmalloc*/*/classes "$DEBUGFS"/zsmalloc*/*/stats; do
		if mapfile said <"$file" && [ ${#said[@]} -gt 0 ]; then
			done=0
		fi
	done
	return $done
}
