/* SPDX-License-Identifier: GPL-2.0 */
/* What rust/bindings/mod.rs is generated from. */

#include <linux/mm.h>
#include <linux/shrinker.h>

#include "../glue/glue.h"
#include "../helpers/helpers.h"
#include "../include/zsmalloc_rs.h"
