/* SPDX-License-Identifier: GPL-2.0 */
/* Which pages move, and how. */
#ifndef ZS_MOVABLE_H
#define ZS_MOVABLE_H

#include <linux/compiler.h>
#include <linux/migrate.h>
#include <linux/mm.h>

#include "../helpers/helpers.h"
#include "../include/zsmalloc_rs.h"

static inline bool zs_page_is_usable(struct page *page)
{
	return likely(!(page_to_pfn(page) >> (ZS_ADDRESS_BITS - PAGE_SHIFT)));
}

#ifdef ZS_HAVE_SET_MOVABLE_OPS
extern bool zs_glue_pages_movable;

static inline bool zs_pages_are_movable(void)
{
	return READ_ONCE(zs_glue_pages_movable);
}
#else
/* Not known outside of this module. */
#define ZS_RS_PAGE 0UL

extern const struct movable_operations zs_rs_movable_ops;

static inline bool zs_pages_are_movable(void)
{
	return IS_ENABLED(CONFIG_COMPACTION);
}
#endif

#endif /* ZS_MOVABLE_H */
