# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# What people report about compressed memory. Others of these are swap_comes_back,
# zswap_in_front_of_zram and zswap_pools_change_under_load, and the suite nodes.

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/57-background.sh"

# Mount an ext4 on zram0 and write that many pairs of files: noise, and a part of the data.
# usage: pairs_of_files COUNT [MOUNT OPTION]...
pairs_of_files() {
	local count=$1 i
	shift
	mkfs.ext4 -q -b $PAGE_SIZE /dev/zram0 || fail "mkfs.ext4"
	mkdir -p /mnt/z
	mount -t ext4 "$@" /dev/zram0 /mnt/z || fail "mount"
	for i in $(seq $count); do
		dd if=/dev/urandom of=/mnt/z/noise$i bs=64k count=20 2>/dev/null || fail "noise$i"
		dd if=$DATA of=/mnt/z/data$i bs=1M count=1 skip=$i 2>/dev/null || fail "data$i"
	done
	sync
}

remove_every_second() {
	local i
	for i in $(seq 2 2 $1); do
		rm /mnt/z/noise$i /mnt/z/data$i
	done
	sync
}

every_other_is_there() {
	local i
	echo 3 >/proc/sys/vm/drop_caches
	for i in $(seq 1 2 $1); do
		dd if=$DATA bs=1M count=1 skip=$i 2>/dev/null | cmp - /mnt/z/data$i || fail "data$i differs"
	done
}

# Files are removed and trimmed. How much the pool is larger than what it stores, for each
# allocator, before anybody compacts.
test_trimmed_files() {
	needs_two_backends
	load_without_background
	load_zram 1
	local b count=60
	local -A excess_of
	for b in c rust; do
		echo $b >$BACKEND
		zram_setup zram0 $((300 << 20)) lz4
		pairs_of_files $count
		remove_every_second $count
		fstrim /mnt/z || fail "fstrim"
		sync
		excess_of[$b]=$(excess)
		note "$b: $(mib "$(mm_stat zram0 compr)") stored in $(mib "$(mm_stat zram0 used)"), ${excess_of[$b]} per mille in excess"
		[ "$(mm_stat zram0 compr)" -gt $((30 << 20)) ] || fail "little is stored"
		every_other_is_there $count
		umount /mnt/z
		zram_reset zram0
	done
	[ "${excess_of[rust]}" -le "${excess_of[c]}" ] ||
		fail "the pool has ${excess_of[rust]} per mille in excess, in C ${excess_of[c]}"
}

# Files are removed from a file system that discards.
test_discarded_files() {
	needs_rust
	load_allocator
	load_zram 1
	zram_setup zram0 $((128 << 20))
	pairs_of_files 24 -o discard
	remove_every_second 24
	comes_back
	every_other_is_there 24
	umount /mnt/z
}

# One in twenty page allocations fails for a process that is swapped to zram.
test_page_allocations_fail_while_swapping() {
	if [ ! -d $DEBUGFS/fail_page_alloc ]; then
		echo "the kernel has no CONFIG_FAIL_PAGE_ALLOC" >$WORK/skip
		return
	fi
	load_allocator
	hog_on_zram $((96 << 20)) $((12 << 20)) $((48 << 20))
	cd $DEBUGFS/fail_page_alloc || fail "no fault injection"
	echo Y >task-filter
	echo 0 >verbose
	echo -1 >"./times"
	echo 0 >space
	echo N >ignore-gfp-wait
	echo N >ignore-gfp-highmem
	echo 0 >min-order
	echo 1 >/proc/$HOG/make-it-fail
	allow_begin '^(Huh VM_FAULT_OOM leaked out|pagefault_out_of_memory: |Write-error on swap-device|SLUB: Unable to allocate memory|  cache: \w+, object size:|  node \d+: slabs:|__end_swap_bio_write: )'
	local before after
	before=$(vmstat_about pswpout)
	echo 5 >probability
	hog verify
	hog fill
	hog verify
	hog punch 1 30
	hog verify
	echo 0 >probability
	allow_end
	after=$(vmstat_about pswpout)
	note "$((after - before)) pages swapped out meanwhile"
	[ $((after - before)) -gt "$(pages 5000)" ] || fail "only $((after - before)) pages were swapped out"
	echo 0 >/proc/$HOG/make-it-fail
	cd /
	hog fill
	hog verify
	hog_stop
	swap_off /dev/zram0
}

a_reader() {
	zs_blk verify $DATA /dev/zram0 $BYTES >/dev/null
}

# Blocks are recompressed and written back while they are read.
test_recompressed_and_written_back_while_read() {
	load_allocator
	load_zram 1
	if [ ! -e /sys/block/zram0/recomp_algorithm ] || [ ! -e /sys/block/zram0/backing_dev ]; then
		echo "the kernel has no CONFIG_ZRAM_MULTI_COMP or no CONFIG_ZRAM_WRITEBACK" >$WORK/skip
		return
	fi
	echo "algo=zstd priority=1" >/sys/block/zram0/recomp_algorithm || fail "recomp_algorithm"
	readlink -f $SWAP >/sys/block/zram0/backing_dev || fail "backing_dev"
	local BYTES=$((16 << 20)) compr gained=0 written round
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
	noise reader a_reader
	# What the reader reads in time is not written back, so a slow machine takes more rounds.
	for round in {1..20}; do
		compr=$(mm_stat zram0 compr)
		# Idle or not: what is read meanwhile is not.
		echo "threshold=$((PAGE_SIZE / 2))" >/sys/block/zram0/recompress || fail "recompress"
		gained=$((gained + compr - $(mm_stat zram0 compr)))
		echo all >/sys/block/zram0/idle
		echo idle >/sys/block/zram0/writeback || fail "writeback"
		blk copy /dev/zram0 $BYTES
		# The third number is blocks of 4 KiB written.
		read -r _ _ written </sys/block/zram0/bd_stat
		[ "$round" -lt 3 ] || [ "$written" -le 1000 ] || break
	done
	noise_off
	note "recompression gained $gained bytes, $written blocks were written back in $round rounds"
	[ $gained -gt 8192 ] || fail "recompression gained only $gained bytes"
	[ $written -gt 1000 ] || fail "only $written blocks were written back"
	blk verify /dev/zram0 $BYTES
}

test_suspend_to_disk() {
	if ! grep -qs test_resume /sys/power/disk; then
		echo "the kernel has no CONFIG_HIBERNATION" >$WORK/skip
		return
	fi
	load_allocator
	load_zram 1
	zram_setup zram0 $BYTES
	swap_on $SWAP
	local rounds=() round
	blk copy /dev/zram0 $BYTES
	echo test_resume >/sys/power/disk
	for round in 1 2 3; do
		# The work of the background is armed.
		rounds+=("$round:20:20")
		blk scatter /dev/zram0 $BYTES $round:20:20
		echo disk >/sys/power/state || fail "suspend, the ${round}th time"
		blk verify /dev/zram0 $BYTES "${rounds[@]}"
	done
	[ "$ALLOC" = c ] || comes_back
	blk verify /dev/zram0 $BYTES "${rounds[@]}"
	swap_off $SWAP
}

# Objects at physical addresses that do not fit in 32 bits.
test_above_4_gib() {
	if [ "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)" -lt $((5 << 20)) ]; then
		echo "needs MEM=6G" >$WORK/skip
		return
	fi
	load_allocator
	load_zram 1
	zram_setup zram0 $BYTES
	blk copy /dev/zram0 $BYTES
	echo 1 >/proc/sys/vm/stat_refresh
	local above
	# The zone above 4 GiB.
	above=$(awk '$1 == "Node" { zone = $4 } $1 == "nr_zspages" && zone == "Normal" { n += $2 }
		END { print n + 0 }' /proc/zoneinfo)
	note "$above pages of $(vmstat nr_zspages) above 4 GiB"
	[ $above -gt "$(pages 1000)" ] || fail "only $above pages are above 4 GiB"
	blk scatter /dev/zram0 $BYTES 1:50:10
	echo 1 >/sys/block/zram0/compact
	[ "$(mm_stat zram0 compacted)" -gt "$(pages 500)" ] || fail "compaction freed $(mm_stat zram0 compacted) pages"
	blk verify /dev/zram0 $BYTES 1:50:10
}
