# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086
# What goes on beside a test, over and over, until the test is done with it. lib.sh has
# this; a test says `noise`, once for each, and `noise_off`, which fails if one of them
# did nothing.

NOISE=()

# usage: noise NAME command...
# A round counts if the command succeeds. It may fail now and then; if it exits, the noise
# is dead, and noise_off says so.
noise() {
	local name=$1
	shift
	mkdir -p $WORK/noise
	rm -f $WORK/noise/$name
	# A test that fails meanwhile ends them, too.
	trap noise_kill EXIT
	(
		trap - EXIT
		going=1 rounds=0 tries=0
		# Not in the middle of one.
		trap 'going=' TERM
		while [ $going ]; do
			tries=$((tries + 1))
			# The command says by its status whether the round counts.
			if "$@"; then
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

# How many rounds each did, and a failure if one did none, or not to the end.
noise_off() {
	local job name pid rounds tries said='' silent=''
	[ ${#NOISE[@]} -gt 0 ] || fail "there is no noise"
	for job in "${NOISE[@]}"; do
		kill ${job#* } 2>/dev/null || silent+=", ${job% *} died"
	done
	for job in "${NOISE[@]}"; do
		name=${job% *} pid=${job#* } rounds=0 tries=0
		wait $pid || :
		# Only who came to its end wrote that.
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

# --- what can be one ---
# usage: noise NAME put VALUE FILE
put() {
	echo "$1" >"$2"
}

# CPUs go and come back.
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

# Pages of any kind move, if the kernel moves pages, and huge pages come and go.
noise_of_memory() {
	local huge
	[ ! -e /proc/sys/vm/compact_memory ] || put 1 /proc/sys/vm/compact_memory || return
	put 200 /proc/sys/vm/nr_hugepages || return
	huge=$(cat /proc/sys/vm/nr_hugepages)
	put 0 /proc/sys/vm/nr_hugepages || return
	sleep 0.1
	[ $huge -gt 0 ]
}

# The shrinkers of pools with such names, asked and told by debugfs. A pool may go meanwhile.
# usage: noise NAME noise_of_shrinkers GLOB
noise_of_shrinkers() {
	local dir said done=1
	for dir in $DEBUGFS/shrinker/mm-zspool:$1; do
		# Without a fork for each: that takes longer than the rest.
		if mapfile said <"$dir/count" && put "0 0 1000" "$dir/scan"; then
			done=0
		fi
	done
	return $done
}

# What pools say of themselves, while they come and go.
noise_of_readers() {
	local file said done=1
	for file in "$DEBUGFS"/zsmalloc*/*/classes "$DEBUGFS"/zsmalloc*/*/stats; do
		if mapfile said <"$file" && [ ${#said[@]} -gt 0 ]; then
			done=0
		fi
	done
	return $done
}
