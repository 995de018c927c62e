// SPDX-License-Identifier: GPL-2.0
/*
 * Migration of pages. In 6.12 each page names its operations. Later kernels have
 * one set for all pages of zsmalloc, the set of whoever came first: there others
 * see to it that our pages get ours, and say so.
 */

#include <linux/export.h>

#include "glue.h"
#include "movable.h"

#ifdef CONFIG_COMPACTION

static bool zs_isolate_page(struct page *page, isolate_mode_t mode)
{
	/*
	 * The kernel has the page locked, so its zspage is not freed. A page
	 * that has none was released, but somebody holds a reference to it.
	 */
	return page_private(page);
}

/* A C function, as kCFI tells enum migrate_mode from the int of bindgen. */
static int zs_migrate_page(struct page *newpage, struct page *page,
			   enum migrate_mode mode)
{
	/* Released meanwhile: nothing to move. */
	if (!page_private(page))
		return 0;
	if (!zs_page_is_usable(newpage))
		return -EINVAL;
	return zs_rs_migrate_page(newpage, page);
}

static void zs_putback_page(struct page *page)
{
}

const struct movable_operations zs_rs_movable_ops = {
	.isolate_page = zs_isolate_page,
	.migrate_page = zs_migrate_page,
	.putback_page = zs_putback_page,
};

#endif

#ifdef ZS_HAVE_SET_MOVABLE_OPS

bool zs_glue_pages_movable __read_mostly;

void zs_rs_set_pages_movable(bool movable)
{
	WRITE_ONCE(zs_glue_pages_movable,
		   movable && IS_ENABLED(CONFIG_COMPACTION));
}
EXPORT_SYMBOL_GPL(zs_rs_set_pages_movable);

#ifdef CONFIG_COMPACTION
EXPORT_SYMBOL_GPL(zs_rs_movable_ops);
#endif

#endif
