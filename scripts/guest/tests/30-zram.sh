# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2086,SC2154,SC2119,SC2034
# zram on the allocator: everything that zram does with objects.

test_every_algorithm() {
	load_allocator
	load_zram 1
	local a algorithms=0
	for a in lzo-rle lz4 zstd; do
		# Not every kernel's zram has each.
		grep -qw -- $a /sys/block/zram0/comp_algorithm || continue
		algorithms=$((algorithms + 1))
		zram_setup zram0 $((16 << 20)) $a
		blk copy /dev/zram0 $((16 << 20))
		zram_has zram0 $((8 << 20))
		blk verify /dev/zram0 $((16 << 20))
		zram_reset zram0
	done
	note "algorithms: $algorithms"
	[ $algorithms -ge 2 ] || fail "zram has $(cat /sys/block/zram0/comp_algorithm)"
}

test_overwrite_and_discard() {
	load_allocator
	load_zram 1
	zram_setup zram0 $((32 << 20))
	blk copy /dev/zram0 $((32 << 20))
	local rounds=()
	for r in 1:20:30 2:30:30 3:10:60; do
		rounds+=("$r")
		blk scatter /dev/zram0 $((32 << 20)) "$r"
		blk verify /dev/zram0 $((32 << 20)) "${rounds[@]}"
	done
}

test_discarding_all_returns_all_pages() {
	load_allocator
	load_zram 1
	zram_setup zram0 $((32 << 20))
	blk copy /dev/zram0 $((32 << 20))
	[ "$(vmstat nr_zspages)" -gt 0 ] || fail "nr_zspages does not count the pages"
	blk scatter /dev/zram0 $((32 << 20)) 1:100:0
	[ "$(mm_stat zram0 used)" -eq 0 ] || fail "$(mm_stat zram0 used) bytes are still used"
	[ "$(vmstat nr_zspages)" -eq 0 ] || fail "nr_zspages is $(vmstat nr_zspages)"
	blk copy /dev/zram0 $((32 << 20))
	blk verify /dev/zram0 $((32 << 20))
}

test_used_is_nr_zspages() {
	load_allocator
	load_zram 1
	zram_setup zram0 $((32 << 20))
	blk copy /dev/zram0 $((32 << 20))
	local pages
	zram_has zram0 $((16 << 20))
	pages=$(($(mm_stat zram0 used) / PAGE_SIZE))
	[ $pages -eq "$(vmstat nr_zspages)" ] ||
		fail "mem_used is $pages pages, nr_zspages $(vmstat nr_zspages)"
}

test_incompressible() {
	load_allocator
	load_zram 1
	zram_setup zram0 $((8 << 20))
	# Random bytes: every object is a huge one.
	dd if=/dev/urandom of=/tmp/random bs=1M count=8 2>/dev/null
	dd if=/tmp/random of=/dev/zram0 bs=1M oflag=direct 2>/dev/null
	[ "$(mm_stat zram0 huge)" -gt "$(pages 2000)" ] || fail "huge_pages is $(mm_stat zram0 huge)"
	cmp /tmp/random /dev/zram0 || fail "differs"
	rm /tmp/random
}

test_two_at_once() {
	load_allocator
	load_zram 2
	zram_setup zram0 $((32 << 20))
	zram_setup zram1 $((32 << 20)) lz4
	zs_blk copy $DATA /dev/zram0 $((32 << 20)) &
	local a=$!
	blk copy /dev/zram1 $((32 << 20))
	wait $a || fail "copy to zram0"
	zs_blk scatter $DATA /dev/zram0 $((32 << 20)) 1:30:30 &
	a=$!
	blk scatter /dev/zram1 $((32 << 20)) 2:30:30
	wait $a || fail "scatter on zram0"
	blk verify /dev/zram0 $((32 << 20)) 1:30:30
	blk verify /dev/zram1 $((32 << 20)) 2:30:30
}

test_ext4() {
	load_allocator
	load_zram 1
	# The journal has 1024 blocks at least.
	zram_setup zram0 $(((60 << 20) + 1024 * PAGE_SIZE))
	mkfs.ext4 -q -b $PAGE_SIZE /dev/zram0 || fail "mkfs.ext4"
	mkdir -p /mnt/z
	mount -t ext4 -o discard /dev/zram0 /mnt/z || fail "mount"
	mkdir /mnt/z/d
	for i in $(seq 1 24); do
		dd if=$DATA of=/mnt/z/d/$i bs=1M count=2 skip=$((i * 3)) 2>/dev/null || fail "write file $i"
	done
	for i in $(seq 1 24); do
		dd if=$DATA bs=1M count=2 skip=$((i * 3)) 2>/dev/null | md5sum | cut -d' ' -f1
	done >/tmp/sums
	# Files that are removed before they are written leave no gaps.
	sync
	rm /mnt/z/d/*[13579]
	sync
	# umount gives up discards that are left.
	fstrim /mnt/z || fail "fstrim"
	umount /mnt/z || fail "umount"
	zram_has zram0 $((12 << 20))
	echo 1 >/sys/block/zram0/compact
	[ "$(mm_stat zram0 compacted)" -gt 0 ] || fail "compaction freed nothing"
	mount -t ext4 -o discard /dev/zram0 /mnt/z || fail "mount again"
	for i in $(seq 2 2 24); do
		[ "$(md5sum </mnt/z/d/$i | cut -d' ' -f1)" = "$(sed -n ${i}p /tmp/sums)" ] ||
			fail "file $i differs"
	done
	fstrim /mnt/z || fail "fstrim"
	umount /mnt/z
	e2fsck -fn /dev/zram0 || fail "e2fsck"
}

test_recompression() {
	load_allocator
	load_zram 1
	if [ ! -e /sys/block/zram0/recomp_algorithm ]; then
		echo "the kernel has no CONFIG_ZRAM_MULTI_COMP" >$WORK/skip
		return
	fi
	echo "algo=zstd priority=1" >/sys/block/zram0/recomp_algorithm || fail "recomp_algorithm"
	zram_setup zram0 $((16 << 20))
	blk copy /dev/zram0 $((16 << 20))
	local before
	before=$(mm_stat zram0 compr)
	echo "type=idle" >/sys/block/zram0/recompress || :
	echo all >/sys/block/zram0/idle
	echo "type=idle threshold=$((PAGE_SIZE / 2))" >/sys/block/zram0/recompress || fail "recompress"
	[ "$(mm_stat zram0 compr)" -lt "$before" ] || fail "recompression gained nothing"
	echo 1 >/sys/block/zram0/compact
	blk verify /dev/zram0 $((16 << 20))
}

test_writeback() {
	load_allocator
	load_zram 1
	readlink -f $SWAP >/sys/block/zram0/backing_dev || fail "backing_dev"
	zram_setup zram0 $((16 << 20))
	blk copy /dev/zram0 $((16 << 20))
	echo all >/sys/block/zram0/idle
	[ "$(mm_stat zram0 compr)" -gt $((2 << 20)) ] || fail "there is nothing to write back"
	echo idle >/sys/block/zram0/writeback || fail "writeback"
	[ "$(mm_stat zram0 compr)" -lt $((1 << 20)) ] || fail "not written back"
	blk verify /dev/zram0 $((16 << 20))
	blk copy /dev/zram0 $((16 << 20))
	blk verify /dev/zram0 $((16 << 20))
}

test_mem_limit() {
	load_allocator
	load_zram 1
	zram_setup zram0 $((16 << 20))
	echo 2M >/sys/block/zram0/mem_limit
	refused 'zs_blk: write: ' zs_blk copy $DATA /dev/zram0 $((16 << 20))
	local used
	used=$(mm_stat zram0 used)
	[ $used -gt $((1 << 20)) ] || fail "no more than $(mib $used) of 2 MiB are used"
	[ $used -le $((2 << 20)) ] || fail "with a limit of 2 MiB, there are $(mib $used)"
	echo 0 >/sys/block/zram0/mem_limit
	blk copy /dev/zram0 $((16 << 20))
	blk verify /dev/zram0 $((16 << 20))
}
