#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2086
# `make soak`: a workload that swaps to zswap and zram at once for ZS_MINUTES while
# pages migrate. Every byte is checked. At the end a ledger is printed; no byte may
# differ and no page may be left.
#
#	hog		anonymous memory with known data, swapped to zswap
#	cc-zswap	a compiler that swaps to zswap, its output compared
#	cc-zram		the same, past zswap, to swap on zram1
#	files		ext4 on zram0: files of known data, copied, changed and
#			compared; beside them stress-ng's names and directories
#	noise		compaction, migration, CPU hotplug
#
# Each worker writes what it has done to a file `name value...` in $LEDGER.
. "$(dirname "$0")/lib.sh"

MINUTES=${ZS_MINUTES:-3}
LEDGER=$WORK/ledger
SOAK=/mnt/soak
FS=/mnt/z
HOG_BYTES=$((96 << 20))
FILE_BYTES=$((12 << 20))
CC1=$SOAK/bin/cc1

say() {
	printf 'guest %5d s: %s\n' "$SECONDS" "$*"
	mark "$*"
}

# --- what the workers share ---
going() {
	[ ! -e $LEDGER/stop ] && [ ! -e $LEDGER/failed ]
}

# A worker that finds an error stops all of them.
broken() {
	going || exit 0
	echo "$*" >>$LEDGER/failed
	exit 1
}

# usage: book WORKER NAME=VALUE...
book() {
	local worker=$1
	shift
	printf '%s\n' "$@" >$LEDGER/$worker.new
	mv $LEDGER/$worker.new $LEDGER/$worker.book
}

# The sum of one name over the books of all workers, or of one.
booked() {
	cat $LEDGER/${2:-*}.book 2>/dev/null |
		awk -F= -v n="$1" '$1 == n { s += $2 } END { printf "%.0f\n", s }'
}

in_cgroup() {
	local cg=$1
	shift
	(
		echo "$BASHPID" >"$CGROUP/$cg/cgroup.procs"
		exec "$@"
	)
}

with_libs() {
	LD_LIBRARY_PATH=$SOAK/lib "$@"
}

# --- the workers ---
soak_hog() {
	local rounds=0 written=0 verified=0 answer seed=0
	hog_start zs-hog $HOG_BYTES
	while going; do
		for word in fill verify "punch $((++seed)) 30" verify; do
			answer=$(hog $word) || broken "hog: $word: $answer"
			case $answer in
			filled*) written=$((written + HOG_BYTES)) ;;
			verified*) verified=$((verified + HOG_BYTES)) ;;
			esac
			book hog written=$written verified=$verified rounds=$rounds
		done
		rounds=$((rounds + 1))
	done
	hog_stop
}

# usage: soak_cc NAME CGROUP
soak_cc() {
	local n=0 bytes=0 src out=/tmp/$1.s level log=$LEDGER/$1.log
	while going; do
		for src in "$SOAK"/src/*.i; do
			level=-O${src#*-O} level=${level%.i}
			with_libs in_cgroup $2 $CC1 -quiet -fpreprocessed $level -frandom-seed=1 \
				$src -o $out >$log 2>&1 ||
				broken "$1: ${src##*/}: $(tail -n 3 $log)"
			cmp -s $out ${src%.i}.s || broken "$1: the output for ${src##*/} differs"
			n=$((n + 1)) bytes=$((bytes + $(stat -c %s $out)))
			rm $out
			book $1 compiled=$n written=$bytes verified=$bytes
		done
	done
}

# usage: on_file copy|scatter|verify FILE ROUND...
on_file() {
	local said
	said=$(zs_blk $1 $DATA $FS/$2 $FILE_BYTES "${@:3}" 2>&1) || broken "files: $*: $said"
	case $said in
	wrote*) written=$((written + FILE_BYTES)) ;;
	discarded*) said=${said##* } written=$((written + said * PAGE_SIZE)) ;;
	verified*) verified=$((verified + FILE_BYTES)) ;;
	esac
	book files written=$written verified=$verified rounds=$rounds names=$names
}

# Names, links and directories beside the data.
stress_names() {
	mkdir -p $FS/names
	with_libs $SOAK/bin/stress-ng --temp-path $FS/names --verify --timeout 20 \
		--dir 1 --rename 1 --link 1 --symlink 1 --filename 1 --dentry 1 \
		--metrics-brief >$LEDGER/stress-ng.log 2>&1 ||
		broken "files: stress-ng: $(tail -n 9 $LEDGER/stress-ng.log)"
}

soak_files() {
	local rounds=0 written=0 verified=0 names=0 f n change
	mkdir -p $FS
	while going; do
		mkfs.ext4 -q -F /dev/zram0 2>/dev/null || broken "files: mkfs.ext4"
		mount -t ext4 -o discard /dev/zram0 $FS || broken "files: mount"
		stress_names &
		for f in 1 2 3 4 5 6; do
			: >$FS/$f
			on_file copy $f
		done
		local changes=()
		for n in 1 2 3; do
			# Seed, percent punched out, percent overwritten.
			change=$rounds$n:20:30
			changes+=("$change")
			for f in 1 2 3 4 5 6; do
				going || break
				on_file scatter $f $change
				mv $FS/$f $FS/moved
				mv $FS/moved $FS/$f
				on_file verify $f "${changes[@]}"
			done
		done
		wait $! || exit 1
		# bogo ops: the fifth word of "stress-ng: metrc: [pid] stressor ops ...".
		names=$((names + $(awk '$2 == "metrc:" && $5 ~ /^[0-9]+$/ { s += $5 } END { print s + 0 }' $LEDGER/stress-ng.log)))
		rounds=$((rounds + 1))
		book files written=$written verified=$verified rounds=$rounds names=$names
		rm -rf "${FS:?}"/* && fstrim $FS
		umount $FS || broken "files: umount"
		e2fsck -fn /dev/zram0 >$LEDGER/e2fsck.log 2>&1 || broken "files: $(tail -n 9 $LEDGER/e2fsck.log)"
	done
}

soak_noise() {
	local rounds=0 memory=0 compactions=0 scans=0 hotplugs=0
	while going; do
		put 1 /proc/sys/vm/compact_memory && put 30 /proc/sys/vm/nr_hugepages &&
			put 0 /proc/sys/vm/nr_hugepages && memory=$((memory + 1))
		sleep 3
		for d in zram0 zram1; do
			put 1 /sys/block/$d/compact && compactions=$((compactions + 1))
		done
		noise_of_shrinkers '*' && scans=$((scans + 1))
		cat $DEBUGFS/zsmalloc*/*/classes >/dev/null
		rounds=$((rounds + 1))
		# For a while, zswap may write to zram what it has held for long.
		case $((rounds % 8)) in
		6) echo Y >$ZSWAP/shrinker_enabled ;;
		0) echo N >$ZSWAP/shrinker_enabled ;;
		esac
		sleep 3
		if [ $((rounds % 4)) -eq 0 ]; then
			for cpu in $(other_cpus); do
				put 0 $cpu && sleep 1 && put 1 $cpu && hotplugs=$((hotplugs + 1))
			done
		fi
		book noise memory=$memory compactions=$compactions scans=$scans hotplugs=$hotplugs
	done
}

# --- the sums ---
# Sectors that zram has been given or asked for: usage: zram_bytes 3|7
zram_bytes() {
	awk -v n=$1 '{ s += $n } END { printf "%.0f\n", s * 512 }' \
		/sys/block/zram0/stat /sys/block/zram1/stat
}

# Objects in all pools, of either allocator: the sum of a column, by its name.
objects_used() {
	cat $DEBUGFS/zsmalloc*/*/classes | awk '
		$1 == "class" { for (i = NF; i > 0; i--) if ($i == "obj_used") back = NF - i }
		$1 ~ /^[0-9]+$/ { s += $(NF - back) }
		END { printf "%.0f\n", s }'
}

swapped_bytes() {
	echo $((($(vmstat $1) - ${2:-0}) * PAGE_SIZE))
}

ledger() {
	printf '  %-44s %20s\n' "$1" "$2"
}

mkdir -p $LEDGER $SOAK
mount -t ext4 -o ro,noload /dev/zs-soak $SOAK || fail "no disk with the programs"
nr_start=$(vmstat nr_zspages)
pg_start=$(vmstat pgmigrate_success)

say "loading the modules ($ALLOC)"
load_allocator
load_zram 2
zram_setup zram0 $((192 << 20)) lzo-rle
zram_setup zram1 $((384 << 20)) zstd
zswap_on $ZPOOL lz4
swap_on /dev/zram1
# What zswap holds counts, too.
cgroup_make zs-hog $((72 << 20))
cgroup_make zs-cc1 $((48 << 20))
cgroup_make zs-cc2 $((48 << 20))
# Past zswap.
echo 0 >$CGROUP/zs-cc2/memory.zswap.max

say "working for $MINUTES minutes"
begin=$SECONDS
workers=()
for job in "soak_hog" "soak_cc cc-zswap zs-cc1" "soak_cc cc-zram zs-cc2" soak_files soak_noise; do
	$job &
	workers+=($!)
done
nr_most=0
shown=$SECONDS
while going && [ $((SECONDS - begin)) -lt $((MINUTES * 60)) ]; do
	sleep 2
	now=$(vmstat_about nr_zspages)
	[ "$now" -le "$nr_most" ] || nr_most=$now
	if [ $((SECONDS - shown)) -ge 30 ]; then
		shown=$SECONDS
		say "$(mib "$(booked verified)") verified, $(booked compiled) compiled, $now pages, $(objects_used) objects, $(rs_stat objects_moved) moved, $(rs_stat pages_migrated) pages migrated"
	fi
done
seconds=$((SECONDS - begin))

say "ending"
touch $LEDGER/stop
killall cc1 2>/dev/null
wait "${workers[@]}"
if [ -e $LEDGER/failed ]; then
	fail "$(cat $LEDGER/failed)"
fi
objects=$(objects_used) moved=$(rs_stat objects_moved) compacted=$(rs_stat pages_compacted)
migrated=$(rs_stat pages_migrated) refused=$(rs_stat migrations_refused)
deferred=$(rs_stat deferred_frees) pg=$(($(vmstat pgmigrate_success) - pg_start))
nr_full=$(vmstat nr_zspages)
zram_written=$(zram_bytes 7) zram_read=$(zram_bytes 3)
zswap_written=$(swapped_bytes zswpout) zswap_read=$(swapped_bytes zswpin)

swap_off /dev/zram1
zswap_off
for d in zram0 zram1; do
	zram_reset $d
done
unload_all
nr_end=$(vmstat nr_zspages)

echo
echo "Ledger of $seconds seconds:"
ledger "written by the workloads, bytes" "$(booked written)"
for w in hog cc-zswap cc-zram files; do
	ledger "  $w" "$(booked written $w)"
done
ledger "read back and verified by them, bytes" "$(booked verified)"
for w in hog cc-zswap cc-zram files; do
	ledger "  $w" "$(booked verified $w)"
done
ledger "files compiled, output compared" "$(booked compiled)"
ledger "rounds of the hog / of the file system" "$(booked rounds hog) / $(booked rounds files)"
ledger "operations on names, links, directories" "$(booked names)"
ledger "stored in zswap, bytes" "$zswap_written"
ledger "loaded from zswap, bytes" "$zswap_read"
ledger "written to zram, bytes" "$zram_written"
ledger "read from zram, bytes" "$zram_read"
ledger "compactions of memory / of a pool / shrinker scans" \
	"$(booked memory) / $(booked compactions) / $(booked scans)"
ledger "CPUs taken away and brought back" "$(booked hotplugs)"
ledger "objects at the end of the work" "$objects"
ledger "objects moved by compaction" "$moved"
ledger "pages freed by compaction" "$compacted"
ledger "pages of ours migrated" "$migrated"
ledger "pages migrated, of any kind" "$pg"
ledger "migrations refused / frees put off" "$refused / $deferred"
ledger "pages of the allocator: at the start" "$nr_start"
ledger "  the most at once" "$nr_most"
ledger "  at the end of the work" "$nr_full"
ledger "  after all was taken away" "$nr_end"
echo

[ "$nr_end" -eq "$nr_start" ] || fail "pages leaked: nr_zspages was $nr_start, is $nr_end"
if grep -E "$OUR_SLABS" /proc/slabinfo; then
	fail "slab caches left"
fi
# Everything must have happened at least once.
for what in "written hog" "verified hog" "compiled cc-zswap" "compiled cc-zram" \
	"verified files" "names files" "memory noise" \
	"compactions noise" "scans noise" "hotplugs noise"; do
	[ "$(booked $what)" -gt 0 ] || fail "nothing $what"
done
for what in "$zswap_written" "$zswap_read" "$zram_written" "$zram_read" "$pg"; do
	[ "$what" -gt 0 ] || fail "the work did not reach zswap, zram or migration"
done
if [ "$ALLOC" = rust ]; then
	[ "$moved" -gt 0 ] || fail "compaction moved no object"
	[ "$migrated" -gt 0 ] || fail "no page of the allocator was migrated"
fi
say "all of it came back"
