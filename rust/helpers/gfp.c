// SPDX-License-Identifier: GPL-2.0

#include <linux/gfp.h>

/*
 * Without CONFIG_COMPACTION nothing ever moves our pages: in movable blocks
 * they would be in the way.
 */
gfp_t zs_helper_gfp_for_pages(gfp_t gfp)
{
	return IS_ENABLED(CONFIG_COMPACTION) ? gfp : gfp & ~__GFP_MOVABLE;
}

gfp_t zs_helper_gfp_for_metadata(gfp_t gfp)
{
	return gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE);
}

gfp_t zs_helper_gfp_for_compaction(void)
{
	/* Reclaim calls us: its reserves are not for this. */
	return GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC | __GFP_HIGHMEM |
	       __GFP_MOVABLE;
}
