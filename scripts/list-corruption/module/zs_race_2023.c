// SPDX-License-Identifier: GPL-2.0
/* zs_race_2023.ko: the allocator as "[PATCHv4 0/4] zsmalloc: fine-grained fullness" had it. */

#include "hook.h"
#include "zsmalloc_2023.c"
#include "cases.h"
#include "storm.h"
