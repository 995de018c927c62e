/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pages of zsmalloc, as the rest of the kernel sees them: by their type and
 * their movable operations, whichever allocator they belong to.
 */
#ifndef ZS_TEST_PAGES_H
#define ZS_TEST_PAGES_H

#include <linux/mm_types.h>
#include <linux/types.h>

/* NR_ZSPAGES, exactly. */
long zs_nr_zspages(void);

/*
 * The frame numbers of all pages of zsmalloc that memory has now, at most @max.
 * Returns how many. @pfns may be NULL.
 */
unsigned int zs_pages_find(unsigned long *pfns, unsigned int max);

/*
 * The steps of a migration, as mm/migrate.c takes them, for one page and
 * without waiting for anything. An isolated page has to be moved or put back.
 */
bool zs_page_isolate(struct page *page);
void zs_page_putback(struct page *page);
/* Zero, -EAGAIN if the page is locked or gone, or the owner's error. */
int zs_page_move_isolated(struct page *page, gfp_t gfp);

/* All of it. -EAGAIN also if the page cannot be isolated. */
int zs_page_move(struct page *page, gfp_t gfp);

#endif /* ZS_TEST_PAGES_H */
