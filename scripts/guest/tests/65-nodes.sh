# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# Several nodes: `make test-full CONFIGS=nodes-7.3`, whose kernel makes four of one.

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/80-kunit.sh"

NODES=/sys/devices/system/node
BYTES=$((32 << 20))

needs_nodes() {
	if [ ! -e $NODES/node1 ]; then
		echo "needs several nodes, such as numa=fake=4" >$WORK/skip
		exit 0
	fi
}

# Pages of each node, as one line.
of_nodes() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '$1 == "nr_zspages" { print $2 }' $NODES/node*/vmstat | tr '\n' ' '
}

# Their sum must be what zram has. usage: nodes_add_up WHEN
nodes_add_up() {
	local pages=$(($(mm_stat zram0 used) / PAGE_SIZE)) sum=0 n
	for n in $(of_nodes); do
		sum=$((sum + n))
	done
	note "pages of the nodes $1: $(of_nodes)"
	[ $sum -eq $pages ] || fail "$1: nodes have $(of_nodes)pages, zram has $pages"
}

test_kunit() {
	needs_nodes
	load_without_background
	kunit "zsmalloc_nodes*"
	grep -q 'zs-test: nodes: [2-9]' $WORK/ktap || fail "there were no nodes"
	grep -q 'zs-test: pages moved: [1-9]' $WORK/ktap || fail "no page was moved"
}

# Leave little room on the first node, so that others are used, too.
crowded() {
	local free
	free=$(awk '$3 == "MemFree:" { print int($4 / 1024) }' $NODES/node0/meminfo)
	dd if=/dev/zero of=/tmp/crowd bs=1M count=$((free - 16)) 2>/dev/null || fail "no room"
}

test_zram_counts_add_up() {
	needs_nodes
	load_without_background
	load_zram 1
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
	zram_has zram0 $((16 << 20))
	nodes_add_up "filled"
	crowded
	blk scatter /dev/zram0 $BYTES 1:40:40
	rm /tmp/crowd
	nodes_add_up "fragmented"
	[ "$(of_nodes | tr ' ' '\n' | grep -c '^[1-9]')" -ge 2 ] || fail "only one node has pages"
	echo 1 >/sys/block/zram0/compact
	[ "$(mm_stat zram0 compacted)" -gt 0 ] || fail "compaction freed nothing"
	nodes_add_up "compacted"
	if [ -e /proc/sys/vm/compact_memory ]; then
		echo 1 >/proc/sys/vm/compact_memory
		nodes_add_up "migrated"
	fi
	blk verify /dev/zram0 $BYTES 1:40:40
	zram_reset zram0
	local n
	for n in $(of_nodes); do
		[ $n -eq 0 ] || fail "pages are left: $(of_nodes)"
	done
}
