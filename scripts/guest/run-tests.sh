#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Run the tests in tests/*.sh: each function test_* there is one, in a shell of
# its own, with no module loaded before and nothing left behind after. Prints
# `ok NAME` or `not ok NAME` and, for a failure, what it said.
# usage: run-tests.sh [PATTERN]; a shell pattern on FILE/FUNCTION, such as
# '@(kunit|stress)/*'.
. "$(dirname "$0")/lib.sh"

shopt -s extglob
pattern=${1:-*}
tests=$(dirname "$0")/tests
NR_START=$(vmstat nr_zspages)
MIN_FREE=$(cat /proc/sys/vm/min_free_kbytes)
log=$WORK/test.log

# Back to how the guest was after boot, whatever a test did; and the checks
# that hold after every test.
clean_up() {
	pkill_children
	awk '/^\/dev/ { print $1 }' /proc/swaps | while read -r d; do
		swapoff "$d"
	done
	awk '$1 ~ /zram/ { print $2 }' /proc/mounts | while read -r m; do
		umount "$m"
	done
	for c in /sys/devices/system/cpu/cpu[1-9]*/online; do
		echo 1 >"$c"
	done
	echo 0 >/proc/sys/vm/nr_hugepages
	echo "$MIN_FREE" >/proc/sys/vm/min_free_kbytes
	for f in failslab fail_page_alloc; do
		echo 0 >$DEBUGFS/$f/probability
	done
	zswap_off
	echo 20 >$ZSWAP/max_pool_percent
	echo N >$ZSWAP/shrinker_enabled
	for d in "$CGROUP"/zs-*; do
		cgroup_remove "${d##*/}"
	done
	(unload_all) || return 1
	local now
	now=$(vmstat nr_zspages)
	[ "$now" -eq "$NR_START" ] || {
		echo "FAIL: pages leaked: nr_zspages was $NR_START, is $now"
		NR_START=$now
		return 1
	}
	if grep -E "$OUR_SLABS" /proc/slabinfo; then
		echo "FAIL: slab caches left"
		return 1
	fi
}

# Where the kernel has kmemleak: what nothing points to any more. By now no
# module of ours is loaded, so all they had must be gone. What is younger than
# five seconds is not reported; the next scan does.
leaks() {
	[ -e $DEBUGFS/kmemleak ] || return 0
	# It turns itself off when it runs out of memory.
	if ! echo scan >$DEBUGFS/kmemleak; then
		echo "FAIL: kmemleak is off"
		return 1
	fi
	cat $DEBUGFS/kmemleak >$WORK/leaks
	echo clear >$DEBUGFS/kmemleak
	[ -s $WORK/leaks ] || return 0
	echo "FAIL: kmemleak:"
	head -n 40 $WORK/leaks
	return 1
}

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

# What a test started and did not wait for.
pkill_children() {
	local p
	for p in $(jobs -p); do
		kill -9 "$p"
	done
	for p in zs_hog zs_blk zs_press test_zswap; do
		killall -9 $p
	done
	wait
} 2>/dev/null

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
		# Not in a condition: there, set -e would be off.
		(
			set -e
			# shellcheck source=/dev/null
			. "$file"
			$t
		) >$log 2>&1
		rc=$?
		clean_up >>$log 2>&1 || rc=1
		mark "end $name"
		[ ! -e $WORK/results ] || cat $WORK/results
		if [ -e $WORK/skip ]; then
			echo "skip $name: $(cat $WORK/skip)"
		elif [ $rc -eq 0 ]; then
			echo "ok $name ($((SECONDS - begin)) s)"
		else
			echo "not ok $name ($((SECONDS - begin)) s)"
			tail -n 15 $log | sed 's/^/    # /'
		fi
	done
	[ -z "$ran" ] || leak_test "${base#*-}" 0
done
leak_test end 6
exit 0
