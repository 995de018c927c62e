/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pages of zsmalloc as the rest of the kernel sees them, by their type and
 * their movable operations, for any allocator.
 */
#ifndef ZS_TEST_PAGES_H
#define ZS_TEST_PAGES_H

#include <linux/mm_types.h>
#include <linux/types.h>

/* Returns NR_ZSPAGES, exactly; of a node, where the kernel counts them. */
long zs_nr_zspages(void);
long zs_nr_zspages_of(int node);

/*
 * Finds the frame numbers of all pages of zsmalloc, at most @max. Returns the
 * number found. @pfns may be NULL.
 */
unsigned int zs_pages_find(unsigned long *pfns, unsigned int max);

/*
 * The steps of a migration in mm/migrate.c, for one page. They do not sleep
 * where there is zs_map_object(), as a mapping disables preemption. An isolated
 * page has to be moved or put back.
 */
bool zs_page_isolate(struct page *page);
void zs_page_putback(struct page *page);
/*
 * Returns 0, -EAGAIN for a locked or freed page, -EBUSY for one in use, or
 * another error of the owner.
 */
int zs_page_move_isolated(struct page *page, gfp_t gfp);

/* Isolates and moves a page. Also returns -EAGAIN if that is not possible. */
int zs_page_move(struct page *page, gfp_t gfp);
/* The same, to a node if that has memory. */
int zs_page_move_to(struct page *page, gfp_t gfp, int node);

/*
 * Makes the next pages that are allocated singly have no free neighbours, so
 * that those of a zspage are not contiguous. @pages has room for @count, which
 * are held until zs_gaps_end(). Some may be NULL.
 */
void zs_gaps_make(struct page **pages, unsigned int count, gfp_t gfp);
void zs_gaps_end(struct page **pages, unsigned int count);

#endif /* ZS_TEST_PAGES_H */
