// SPDX-License-Identifier: GPL-2.0
/* The kernel's set of operations for pages of zsmalloc, where it has one. */

#include <linux/kconfig.h>

#include "movable.h"

#if defined(ZS_HAVE_SET_MOVABLE_OPS) && IS_ENABLED(CONFIG_COMPACTION)

#include <linux/migrate.h>
#include <linux/mm.h>

#include "zsmalloc_c.h"
#include "../include/zsmalloc_rs.h"

/*
 * The page is locked, and stays where it is. One that left its zspage is of
 * neither allocator any more; both refuse it.
 */
static const struct movable_operations *zs_operations_of(struct page *page)
{
#ifdef ZS_C_SOURCE
	if (!(page_private(page) & ZS_RS_PAGE))
		return &zs_c_movable_ops;
#endif
	return &zs_rs_movable_ops;
}

static bool zs_page_isolate(struct page *page, isolate_mode_t mode)
{
	return zs_operations_of(page)->isolate_page(page, mode);
}

static int zs_page_migrate(struct page *newpage, struct page *page,
			   enum migrate_mode mode)
{
	return zs_operations_of(page)->migrate_page(newpage, page, mode);
}

static void zs_page_putback(struct page *page)
{
	zs_operations_of(page)->putback_page(page);
}

static const struct movable_operations zs_movable_ops = {
	.isolate_page = zs_page_isolate,
	.migrate_page = zs_page_migrate,
	.putback_page = zs_page_putback,
};

int zs_dropin_movable_init(void)
{
	int err = set_movable_ops(&zs_movable_ops, PGTY_zsmalloc);

	if (!err)
		zs_rs_set_pages_movable(true);
	return err;
}

void zs_dropin_movable_exit(void)
{
	zs_rs_set_pages_movable(false);
	set_movable_ops(NULL, PGTY_zsmalloc);
}

#else

int zs_dropin_movable_init(void)
{
	return 0;
}

void zs_dropin_movable_exit(void)
{
}

#endif
