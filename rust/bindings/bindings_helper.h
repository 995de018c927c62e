/* SPDX-License-Identifier: GPL-2.0 */
/* What rust/bindings/mod.rs is generated from. */

#include <linux/mm.h>
#include <linux/shrinker.h>

#include "../glue/glue.h"
#include "../helpers/helpers.h"
#include "../include/zsmalloc_rs.h"

#ifndef ZS_HAVE_MAPMODE
/* Gone from <linux/zsmalloc.h> with zs_map_object(), and still ours. */
enum zs_mapmode { ZS_MM_RW, ZS_MM_RO, ZS_MM_WO };
#endif
