#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# `make shell`, inside: load the modules, say what is where, give a prompt.
. "$(dirname "$0")/lib.sh"
load_allocator
load_zram 2
zswap="none in this kernel"
[ ! -d $ZSWAP ] || zswap="echo Y >$ZSWAP/enabled"
[ ! -e $ZSWAP/zpool ] || zswap="echo $ZPOOL >$ZSWAP/zpool; $zswap"
cat <<EOF

  Loaded: $(awk '{ printf "%s ", $1 }' /proc/modules)
  zram:   echo 64M >/sys/block/zram0/disksize; then use /dev/zram0
  zswap:  $zswap
  disks:  /dev/zs-data (136 MiB of data, read only), /dev/zs-swap (512 MiB, empty)
  stats:  $DEBUGFS/zsmalloc_rs/, dmesg

EOF
export PS1='guest# '
exec bash --norc -i
