# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086
# Sourced by run-tests.sh. After each test it restores the state that the guest
# had after boot, and checks what must hold then.

NR_START=$(vmstat nr_zspages)
SLABS_START=$(our_slabs)
MIN_FREE=$(cat /proc/sys/vm/min_free_kbytes)
BOOST=$(cat /proc/sys/vm/watermark_boost_factor)

clean_up() {
	kill_others
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
	echo "$BOOST" >/proc/sys/vm/watermark_boost_factor
	for f in failslab fail_page_alloc; do
		echo 0 >$DEBUGFS/$f/probability
	done
	zswap_off
	if [ -d $ZSWAP ]; then
		echo 20 >$ZSWAP/max_pool_percent
		echo N >$ZSWAP/shrinker_enabled
	fi
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
	# zswap destroys a pool of C's, and its caches, in the background.
	wait_for 10 no_slabs >/dev/null || {
		no_slabs
		echo "FAIL: slab caches left"
		return 1
	}
}

no_slabs() {
	! our_slabs | grep -vxF "$SLABS_START"
}

# Kill what a test left behind: every process that did not exist before the
# tests and is not a kernel thread.
kill_others() {
	local stat pid rest _state parent
	for stat in /proc/[0-9]*/stat; do
		read -r pid rest <"$stat" || continue
		# "pid (name) state parent ..."; the name may contain blanks and parentheses.
		read -r _state parent _ <<<"${rest##*) }"
		case " $BEFORE $$ " in
		*" $pid "*) continue ;;
		esac
		[ "$parent" = 2 ] || kill -9 "$pid"
	done
	wait
} 2>/dev/null

# shellcheck disable=SC2012 # numbers
BEFORE=$(ls -d /proc/[0-9]* | sed 's,/proc/,,' | tr '\n' ' ')

# Report what kmemleak finds, if the kernel has it. Our modules are unloaded by
# now and must have freed everything. kmemleak does not report objects younger
# than five seconds; the next scan does.
leaks() {
	[ -e $DEBUGFS/kmemleak ] || return 0
	# kmemleak disables itself when it runs out of memory.
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
