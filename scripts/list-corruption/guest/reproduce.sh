#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In the guest: one case, or the storm for some milliseconds.
# usage: reproduce.sh MODULE run|storm CASE|MILLISECONDS [PARAMETER=VALUE...]
module=$1 what=$2 which=$3
shift 3
cd /guest/list-corruption || exit
if [ "$module" = zs_race_rs ]; then
	modprobe zsmalloc_rs || exit
fi
insmod "$module.ko" "$@" || exit
echo "$which" >"/sys/module/$module/parameters/$what" || exit
echo "$module: $what $which has come to its end"
