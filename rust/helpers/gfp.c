// SPDX-License-Identifier: GPL-2.0

#include <linux/gfp.h>

#include "../glue/movable.h"

/* Pages that cannot move would fragment movable page blocks. */
gfp_t zs_helper_gfp_for_pages(gfp_t gfp)
{
	return zs_pages_are_movable() ? gfp : gfp & ~__GFP_MOVABLE;
}

gfp_t zs_helper_gfp_for_metadata(gfp_t gfp)
{
	return gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE);
}

gfp_t zs_helper_gfp_for_compaction(void)
{
	/* The shrinker runs in reclaim. Do not use its memory reserves. */
	return GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC | __GFP_HIGHMEM |
	       __GFP_MOVABLE;
}
