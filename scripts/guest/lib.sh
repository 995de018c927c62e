# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2120
# Shared by the scripts in the guest. ALLOC is the allocator under test: `rust`,
# our modules, or `c`, the kernel's own, for comparison.

ALLOC=${ZS_ALLOC:-rust}
MODULES=/lib/modules/$(uname -r)
DATA=/dev/zs-data
DATA_BYTES=$((136 << 20))
SWAP=/dev/zs-swap
WORK=/run/zs
CGROUP=/sys/fs/cgroup
# Bytes in a page.
PAGE_SIZE=$(awk '$1 == "KernelPageSize:" { print $2 * 1024; exit }' /proc/self/smaps)
ZSWAP=/sys/module/zswap/parameters
DEBUGFS=/sys/kernel/debug

# Slab caches of both allocators.
OUR_SLABS='^(zs_handle|zspage|zsmalloc)'

# Those that there are, a line each. In newer kernels the pools of C share caches, which
# a built-in one has from the start.
our_slabs() {
	awk -v ours="$OUR_SLABS" '$1 ~ ours { print $1 }' /proc/slabinfo
}

# zpool type of the allocator under test, see zswap_on.
if [ "$ALLOC" = rust ]; then
	ZPOOL=zsmalloc_rs
else
	ZPOOL=zsmalloc
fi

# The module that implements <linux/zsmalloc.h> on our pools: the drop-in, or the
# takeover if the kernel's own zsmalloc is built in.
FACE=zsmalloc
[ ! -e "$MODULES/updates/zsmalloc_takeover.ko" ] || FACE=zsmalloc_takeover
BACKEND=/sys/module/$FACE/parameters/backend

fail() {
	echo "FAIL: $*"
	exit 1
}

# Fail unless the command fails and prints the reason. usage: refused REGEX command...
refused() {
	local why=$1
	shift
	if "$@" >$WORK/refused 2>&1; then
		fail "was not refused: $*"
	fi
	grep -qE "$why" $WORK/refused || fail "$*: $(cat $WORK/refused)"
}

# Write a line to the kernel log.
mark() {
	echo "zs-test: $*" >/dev/kmsg
}

# Skip the test unless it runs on our modules.
needs_rust() {
	if [ "$ALLOC" != rust ]; then
		echo "needs the Rust allocator" >$WORK/skip
		exit 0
	fi
}

# Skip the test if the kernel cannot migrate pages.
needs_migration() {
	if [ ! -e /proc/sys/vm/compact_memory ]; then
		echo "the kernel has no CONFIG_COMPACTION" >$WORK/skip
		exit 0
	fi
}

# Skip the test if zswap does not choose its allocator by a zpool type.
needs_zpool() {
	if [ ! -e $ZSWAP/zpool ]; then
		echo "needs a kernel with zpool" >$WORK/skip
		exit 0
	fi
}

# Skip the test if the kernel has no zswap.
needs_zswap() {
	if [ ! -d $ZSWAP ]; then
		echo "the kernel has no CONFIG_ZSWAP" >$WORK/skip
		exit 0
	fi
}

# Skip the test if the kernel's zsmalloc is built in.
needs_module() {
	if built_in zsmalloc; then
		echo "needs a kernel with CONFIG_ZSMALLOC=m" >$WORK/skip
		exit 0
	fi
}

# Skip the test if the kernel does not show its shrinkers.
needs_shrinker_debugfs() {
	if [ ! -d $DEBUGFS/shrinker ]; then
		echo "the kernel has no CONFIG_SHRINKER_DEBUG" >$WORK/skip
		exit 0
	fi
}

# True where memory is watched: everything takes several times as long.
is_slow() {
	zcat /proc/config.gz 2>/dev/null | grep -E '^CONFIG_K(A|C)SAN=y' >/dev/null
}

# Skip the test unless a pool can be on either allocator.
needs_two_backends() {
	needs_rust
	[ $FACE = zsmalloc_takeover ] || needs_dropin_c
}

needs_dropin_c() {
	needs_rust
	if [ $FACE != zsmalloc ]; then
		echo "needs the drop-in" >$WORK/skip
		exit 0
	fi
	[ -e "$(ours zsmalloc_c)" ] || fail "zsmalloc_c.ko was not built"
}

# --- kernel log: a warning that a test provokes ---
# check-dmesg requires a match between begin and end, and accepts lines and splats
# that match.
expect_begin() {
	mark "expect-begin $*"
}

expect_end() {
	mark "expect-end"
}

# The same, but nothing has to match.
allow_begin() {
	mark "allow-begin $*"
}

allow_end() {
	mark "allow-end"
}

# --- waiting ---
# Retry a command until it succeeds. usage: wait_for SECONDS command...
wait_for() {
	local tries=$(($1 * 20))
	shift
	while ! "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.05
	done
}

# Results, and background load.
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/ktap.sh"
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/noise.sh"

# --- numbers ---
# The exact value. The kernel sums up its per-CPU counters for that, and warns of
# a negative sum, so nothing may change the counters meanwhile.
vmstat() {
	echo 1 >/proc/sys/vm/stat_refresh
	vmstat_about "$1"
}

# The value as last summed up. It may be negative while counters change.
vmstat_about() {
	awk -v n="$1" '$1 == n { print $2; f = 1 } END { if (!f) print 0 }' /proc/vmstat
}

# A field of zram's mm_stat, by name.
mm_stat() {
	local n
	case $2 in
	orig) n=1 ;; compr) n=2 ;; used) n=3 ;; limit) n=4 ;; max) n=5 ;;
	same) n=6 ;; compacted) n=7 ;; huge) n=8 ;;
	*) fail "no such field of mm_stat: $2" ;;
	esac
	awk -v n=$n '{ print $n }' "/sys/block/$1/mm_stat"
}

# A counter of our own statistics, summed over all pools.
rs_stat() {
	cat $DEBUGFS/zsmalloc_rs/*/stats 2>/dev/null |
		awk -v n="$1" '$1 == n { s += $2 } END { print s + 0 }'
}

# A number of a pool of ours in sysfs. usage: number FILE [POOL]
number() {
	cat "/sys/kernel/zsmalloc_rs/${2:-zram0}/$1"
}

# Whether the background, at 80, is below its lower watermark in zram's pool.
little_is_freeable() {
	[ $(($(number pages_freeable) * 100)) -le "$(number pages)" ]
}

zswap_stat() {
	cat "$DEBUGFS/zswap/$1"
}

# Fail unless zswap stores that many pages. usage: zswap_has PAGES
zswap_has() {
	[ "$(zswap_stat stored_pages)" -ge "$1" ] ||
		fail "only $(zswap_stat stored_pages) pages in zswap, not $1"
}

# Fail unless the device stores that many bytes of data. usage: zram_has zramN BYTES
zram_has() {
	[ "$(mm_stat "$1" orig)" -ge "$2" ] || fail "only $(mib "$(mm_stat "$1" orig)") in $1"
	[ "$(mm_stat "$1" used)" -gt 0 ] || fail "$1 has no page of the allocator"
}

# The number of pages that have as many bytes as N of 4 KiB. usage: pages N
pages() {
	echo $(($1 * 4096 / PAGE_SIZE))
}

mib() {
	awk -v b="$1" 'BEGIN { printf "%.1f MiB", b / 1048576 }'
}

# --- modules ---
loaded() {
	grep -q "^$1 " /proc/modules
}

not_loaded() {
	! loaded "$1"
}

ours() {
	echo "$MODULES/updates/$1.ko"
}

kernels() {
	find "$MODULES/kernel" -name "$1.ko"
}

# True if a module is built into the kernel.
built_in() {
	grep -q "/$1\.ko$" "$MODULES/modules.builtin"
}

# The parameters of a module on the kernel command line, as modprobe passes them.
# usage: boot_params MODULE
boot_params() {
	tr ' ' '\n' </proc/cmdline | sed -n "s/^$1\.//p"
}

load() {
	local name=${1##*/}
	# shellcheck disable=SC2046 # words
	insmod "$@" $(boot_params "${name%.ko}") || fail "insmod $* failed"
}

# Load the allocator under test. usage: load_allocator [PARAMETER=VALUE...]
load_allocator() {
	if [ "$ALLOC" = rust ]; then
		load "$(ours zsmalloc_rs)" "$@"
		if [ -e "$(ours zsmalloc_c)" ]; then
			load "$(ours zsmalloc_c)"
		fi
		load "$(ours $FACE)"
	elif ! built_in zsmalloc; then
		load "$(kernels zsmalloc)"
	fi
}

# The same, without compaction in the background: for tests that count what others free.
load_without_background() {
	load_allocator compaction_proactiveness=0
}

# Load zram on the allocator that is loaded. modprobe would load the drop-in, even
# with ALLOC=c.
load_zram() {
	local path name
	while read -r _ path _; do
		name=${path##*/} name=${name%.ko}
		case $name in
		zram | zsmalloc*) continue ;;
		esac
		loaded "${name//-/_}" || load "$path"
	done < <(modprobe --show-depends zram | grep ^insmod)
	load "$(kernels zram)" "num_devices=${1:-1}"
}

unused() {
	[ ! -e "/sys/module/$1" ] || [ "$(cat "/sys/module/$1/refcnt")" -eq 0 ]
}

# zswap destroys its old pool asynchronously, so a module may stay in use for a
# moment.
unload() {
	local m
	for m in "$@"; do
		if loaded "$m"; then
			wait_for 10 unused "$m" || fail "$m is still in use: $(grep "^$m " /proc/modules)"
			rmmod "$m" || fail "rmmod $m failed"
		fi
	done
}

unload_all() {
	unload zram zsmalloc_takeover zsmalloc zsmalloc_c zsmalloc_rs
}

# --- zram ---
# usage: zram_setup zramN BYTES [ALGORITHM]; the default is lzo-rle, if available
zram_setup() {
	if [ -n "${3:-}" ]; then
		echo "$3" >"/sys/block/$1/comp_algorithm" || fail "$1: no algorithm $3"
	elif grep -qw lzo-rle "/sys/block/$1/comp_algorithm"; then
		echo lzo-rle >"/sys/block/$1/comp_algorithm" || fail "$1: lzo-rle is refused"
	fi
	echo "$2" >"/sys/block/$1/disksize" || fail "$1: no pool of $2 bytes"
}

zram_reset() {
	echo 1 >"/sys/block/$1/reset" || fail "$1: reset refused"
}

# --- known data on a block device, see zs_blk.c ---
# usage: blk copy|scatter|verify DEVICE BYTES [ROUND...]
blk() {
	local what=$1 dev=$2
	shift 2
	zs_blk "$what" $DATA "$dev" "$@" || fail "$what $dev $*"
}

# --- zswap ---
# Each pool of zswap has a reference to its compressor.
zswap_has_no_pool() {
	! awk -v c="$1" '$1 == "name" { n = $3 } $1 == "refcnt" && n == c && $3 > 1' /proc/crypto |
		grep -q .
}

# Put zswap on a new pool where the kernel has no zpool. The pool is of the backend then
# selected, and made when zswap has none for that compressor. An old one that is not empty
# is used again. usage: zswap_new_pool TYPE COMPRESSOR
zswap_new_pool() {
	local other=lz4 backend=c before=''
	[ "$2" != lz4 ] || other=lzo
	echo $other >$ZSWAP/compressor || fail "zswap: no compressor $other"
	wait_for 5 zswap_has_no_pool "$2" || :
	if [ -e $BACKEND ]; then
		before=$(sed 's/.*\[\(.*\)\].*/\1/' $BACKEND)
		[ "$1" != zsmalloc_rs ] || backend=rust
		echo $backend >$BACKEND
	fi
	echo "$2" >$ZSWAP/compressor || fail "zswap: no compressor $2"
	[ -z "$before" ] || echo "$before" >$BACKEND
	[ "$1" != zsmalloc_rs ] || ls -d $DEBUGFS/zsmalloc_rs/zswap* >/dev/null ||
		fail "zswap: no pool of zsmalloc_rs"
}

# usage: zswap_on TYPE [COMPRESSOR]; zsmalloc or zsmalloc_rs, or another zpool
zswap_on() {
	local compressor=${2:-lzo}
	if [ -e $ZSWAP/zpool ]; then
		echo "$compressor" >$ZSWAP/compressor || fail "zswap: no compressor $compressor"
		echo "$1" >$ZSWAP/zpool || fail "zswap: no zpool $1"
		[ "$(cat $ZSWAP/zpool)" = "$1" ] || fail "zswap: zpool is $(cat $ZSWAP/zpool), not $1"
	fi
	echo Y >$ZSWAP/enabled
	[ "$(cat $ZSWAP/enabled)" = Y ] || fail "zswap: not enabled"
	# Enabling it the first time makes a pool, too.
	[ -e $ZSWAP/zpool ] || zswap_new_pool "$1" "$compressor"
}

# Disable zswap and take it off our allocator.
zswap_off() {
	[ -d $ZSWAP ] || return 0
	echo N >$ZSWAP/enabled
	if [ -e $ZSWAP/zpool ]; then
		echo zbud >$ZSWAP/zpool
		echo lzo >$ZSWAP/compressor
	else
		zswap_new_pool zsmalloc lzo
	fi
}

swap_on() {
	mkswap "$1" >/dev/null || fail "mkswap $1"
	swapon "$1" || fail "swapon $1"
}

swap_off() {
	if grep -q "^$(readlink -f "$1") " /proc/swaps; then
		swapoff "$1" || fail "swapoff $1"
	fi
}

# --- cgroups ---
# usage: cgroup_make NAME BYTES
cgroup_make() {
	mkdir -p "$CGROUP/$1"
	echo "$2" >"$CGROUP/$1/memory.max"
}

cgroup_remove() {
	[ ! -d "$CGROUP/$1" ] || wait_for 5 rmdir "$CGROUP/$1" 2>/dev/null
}

# --- a process with known anonymous memory, see zs_hog.c ---
# usage: hog_start CGROUP BYTES; hog COMMAND prints the answer and fails if that is
# an error; hog_stop
hog_start() {
	rm -f $WORK/hog.in $WORK/hog.out
	mkfifo $WORK/hog.in $WORK/hog.out
	(
		echo "$BASHPID" >"$CGROUP/$1/cgroup.procs"
		exec zs_hog $DATA "$2" <$WORK/hog.in >$WORK/hog.out 2>&1 7>&- 8>&-
	) &
	HOG=$!
	exec 7<>$WORK/hog.in 8<>$WORK/hog.out
}

# hog_start in a cgroup of LIMIT bytes that swaps to zram0, filled. usage: hog_on_zram
# DISKSIZE LIMIT BYTES
hog_on_zram() {
	load_zram 1
	zram_setup zram0 "$1"
	swap_on /dev/zram0
	cgroup_make zs-t "$2"
	hog_start zs-t "$3"
	hog fill
}

hog() {
	local answer='' part=''
	echo "$*" >&7
	# A read that times out may have returned part of the line.
	until read -r -t 2 part <&8; do
		answer+=$part
		kill -0 "$HOG" 2>/dev/null || {
			echo "the process died"
			return 1
		}
	done
	answer+=$part
	echo "$answer"
	case $answer in
	filled* | verified* | punched*) ;;
	*) return 1 ;;
	esac
}

hog_stop() {
	exec 7>&- 8>&-
	kill "$HOG" || :
	wait "$HOG" || :
} 2>/dev/null
