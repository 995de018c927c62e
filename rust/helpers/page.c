// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of zspages. rust/sys/raw_page.rs documents the use of struct page.
 */

#include <linux/highmem.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/unaligned.h>
#include <linux/vmstat.h>

#include "../glue/movable.h"

/*
 * What zsmalloc has in struct page: the struct zpdesc of mm/zpdesc.h, which
 * headers packages lack, and which 6.12 does not have.
 */
struct zs_page_desc {
	unsigned long flags;
	struct list_head lru;
	unsigned long movable_ops;
	/* The next page of the chain. In a huge zspage, the handle. */
	unsigned long next;
	unsigned long owner;
	/* PGTY_zsmalloc, the class and the position. */
	unsigned int type;
	atomic_t _refcount;
};

#define ZS_DESC_MATCH(pg, desc)						\
	static_assert(offsetof(struct page, pg) ==			\
		      offsetof(struct zs_page_desc, desc))
ZS_DESC_MATCH(flags, flags);
ZS_DESC_MATCH(lru, lru);
ZS_DESC_MATCH(mapping, movable_ops);
#ifdef ZS_HAVE_FOLIO_INDEX
ZS_DESC_MATCH(__folio_index, next);
#else
ZS_DESC_MATCH(index, next);
#endif
ZS_DESC_MATCH(private, owner);
ZS_DESC_MATCH(page_type, type);
ZS_DESC_MATCH(_refcount, _refcount);
#undef ZS_DESC_MATCH
static_assert(sizeof(struct zs_page_desc) <= sizeof(struct page));

static __always_inline struct zs_page_desc *zs_desc(struct page *page)
{
	return (struct zs_page_desc *)page;
}

/*
 * The bits of page_type that PGTY_zsmalloc leaves to its owner: the position in
 * the zspage, and the index of the class.
 */
#define ZS_POSITION_MASK 0xff
#define ZS_CLASS_SHIFT 8
#define ZS_CLASS_MASK 0xffff00

/* NR_ZSPAGES depends on CONFIG_ZSMALLOC. */
static void zs_count_pages(struct zone *zone, long delta)
{
#if IS_ENABLED(CONFIG_ZSMALLOC)
	mod_zone_page_state(zone, NR_ZSPAGES, delta);
#endif
}

/* @page is newly allocated and locked. */
static void zs_page_begin(struct page *page)
{
	__SetPageZsmalloc(page);
	zs_count_pages(page_zone(page), 1);
}

/* Returns NULL and frees the page if it cannot be used. */
static struct page *zs_page_lock_and_begin(struct page *page)
{
	/* PFN walkers may have a new page locked. */
	if (unlikely(!zs_page_is_usable(page) || !trylock_page(page))) {
		__free_page(page);
		return NULL;
	}
	zs_page_begin(page);
	return page;
}

/* @nid is preferred, never demanded. A caller may pass any number. */
struct page *zs_helper_page_alloc(gfp_t gfp, int nid)
{
	struct page *page;

	if (nid < 0 || nid >= MAX_NUMNODES || !node_online(nid))
		page = alloc_page(gfp);
	else
		page = alloc_pages_node(nid, gfp, 0);

	return likely(page) ? zs_page_lock_and_begin(page) : NULL;
}

struct page *zs_helper_pfn_to_page(size_t pfn)
{
	return pfn_to_page(pfn);
}

size_t zs_helper_page_to_pfn(struct page *page)
{
	return page_to_pfn(page);
}

void zs_helper_page_attach(struct page *page, void *owner, u32 position, u32 class)
{
	struct zs_page_desc *desc = zs_desc(page);

	desc->owner = (unsigned long)owner | ZS_RS_PAGE;
	desc->next = 0;
	desc->type &= ~(ZS_CLASS_MASK | ZS_POSITION_MASK);
	desc->type |= (class << ZS_CLASS_SHIFT & ZS_CLASS_MASK) | (position & ZS_POSITION_MASK);
}

void zs_helper_page_detach(struct page *page)
{
	zs_desc(page)->owner = 0;
}

void *zs_helper_page_owner(struct page *page)
{
	return (void *)(zs_desc(page)->owner & ~ZS_RS_PAGE);
}

u32 zs_helper_page_position(struct page *page)
{
	return zs_desc(page)->type & ZS_POSITION_MASK;
}

u32 zs_helper_page_class(struct page *page)
{
	return (zs_desc(page)->type & ZS_CLASS_MASK) >> ZS_CLASS_SHIFT;
}

struct page *zs_helper_page_next(struct page *page)
{
	/* In a huge zspage this is the handle, with the lowest bit set. */
	unsigned long next = READ_ONCE(zs_desc(page)->next);

	return next & 1 ? NULL : (struct page *)next;
}

struct page *zs_helper_page_find(struct page *page, u32 position)
{
	unsigned int type = (zs_desc(page)->type & ~ZS_POSITION_MASK) | position;
	struct page *at = page;

	if (zs_desc(page)->type == type)
		return page;
	/* A huge zspage has one page and no link. Other chains are rings. */
	if (READ_ONCE(zs_desc(page)->next) & 1)
		return NULL;
	while ((at = (struct page *)READ_ONCE(zs_desc(at)->next)) != page) {
		if (zs_desc(at)->type == type)
			return at;
	}
	return NULL;
}

void zs_helper_page_set_next(struct page *page, struct page *next)
{
	WRITE_ONCE(zs_desc(page)->next, (unsigned long)next);
}

u32 zs_helper_page_huge_handle(struct page *page)
{
	return READ_ONCE(zs_desc(page)->next) >> 1;
}

void zs_helper_page_set_huge_handle(struct page *page, u32 handle)
{
	WRITE_ONCE(zs_desc(page)->next, (unsigned long)handle << 1 | 1);
}

void zs_helper_page_take_link(struct page *page, struct page *old)
{
	zs_desc(page)->next = zs_desc(old)->next;
}

#ifdef ZS_HAVE_SET_MOVABLE_OPS

/* The type leads to the operations, and stays until the page is freed. */
static void zs_page_clear_type(struct page *page) { }

static void zs_page_set_movable(struct page *page)
{
	if (zs_pages_are_movable())
		SetPageMovableOps(page);
}

static void zs_page_clear_movable(struct page *page) { }

#else

static void zs_page_clear_type(struct page *page)
{
	__ClearPageZsmalloc(page);
}

#ifdef CONFIG_COMPACTION

static void zs_page_set_movable(struct page *page)
{
	__SetPageMovable(page, &zs_rs_movable_ops);
}

static void zs_page_clear_movable(struct page *page)
{
	__ClearPageMovable(page);
}

#else

static void zs_page_set_movable(struct page *page) { }
static void zs_page_clear_movable(struct page *page) { }

#endif
#endif

void zs_helper_page_make_movable(struct page *page)
{
	zs_page_set_movable(page);
}

bool zs_helper_page_trylock(struct page *page)
{
	return trylock_page(page);
}

void zs_helper_page_unlock(struct page *page)
{
	unlock_page(page);
}

void zs_helper_page_wait_unlocked(struct page *page)
{
	folio_wait_locked(page_folio(page));
}

void zs_helper_page_get(struct page *page)
{
	get_page(page);
}

void zs_helper_page_put(struct page *page)
{
	put_page(page);
}

static void zs_page_reset(struct page *page)
{
	struct zs_page_desc *desc = zs_desc(page);

	desc->owner = 0;
	desc->next = 0;
	zs_page_clear_type(page);
}

/* @page was never movable. */
void zs_helper_page_discard(struct page *page)
{
	zs_count_pages(page_zone(page), -1);
	zs_page_reset(page);
	unlock_page(page);
	__free_page(page);
}

/* release_pages() would cost a third more: it is made for folios of the LRU. */
void zs_helper_pages_release(struct page *first)
{
	struct page *page, *next;

	while (first) {
		struct zone *zone = page_zone(first);
		int zone_id = page_zone_id(first);
		long nr = 0;

		for (page = first; page && page_zone_id(page) == zone_id; page = next) {
			next = zs_helper_page_next(page);
			zs_page_clear_movable(page);
			zs_page_reset(page);
			unlock_page(page);
			__free_page(page);
			nr++;
		}
		zs_count_pages(zone, -nr);
		first = page;
	}
}

void zs_helper_page_adopt(struct page *newpage)
{
	__SetPageZsmalloc(newpage);
	zs_page_set_movable(newpage);
	get_page(newpage);
}

void zs_helper_page_finish_adoption(struct page *newpage, struct page *page)
{
	if (page_zone(newpage) != page_zone(page)) {
		zs_count_pages(page_zone(page), -1);
		zs_count_pages(page_zone(newpage), 1);
	}
	zs_page_clear_movable(page);
	zs_page_reset(page);
	put_page(page);
}

u32 zs_helper_read_u32_at(u64 address)
{
	return READ_ONCE(*(u32 *)__va(address));
}

void zs_helper_write_u32_at(u64 address, u32 value)
{
	WRITE_ONCE(*(u32 *)__va(address), value);
}

/*
 * 64-bit kernels have no highmem: all pages are mapped. Unlike page_address(),
 * this has no KASAN tag, as an object may be on two pages.
 */
void *zs_helper_page_map(struct page *page, size_t offset)
{
	return __va(PFN_PHYS(page_to_pfn(page))) + offset;
}

void *zs_helper_map_address(u64 address)
{
	return __va(address);
}

/*
 * Copy a part of an object. GCC emits "rep movsq" for such copies, in C zsmalloc
 * as well. clang, which compiles this file for kernels built by either, calls
 * memcpy(), which without FSRM is a loop of moves. Sanitizers instrument
 * memcpy() only.
 */
static __always_inline void zs_copy(void *to, const void *from, size_t len)
{
#if defined(CONFIG_X86_64) && !defined(CONFIG_KASAN) && \
	!defined(CONFIG_KMSAN) && !defined(CONFIG_KCSAN)
	size_t words = len / sizeof(u64);

	asm volatile("rep movsq"
		     : "+D" (to), "+S" (from), "+c" (words)
		     : : "memory");
	if (len & sizeof(u32)) {
		put_unaligned(get_unaligned((u32 *)from), (u32 *)to);
		to += sizeof(u32);
		from += sizeof(u32);
	}
	/* Only obj_read and obj_write copy other lengths. */
	if (likely(!(len & 3)))
		return;
	if (len & sizeof(u16)) {
		put_unaligned(get_unaligned((u16 *)from), (u16 *)to);
		to += sizeof(u16);
		from += sizeof(u16);
	}
	if (len & 1)
		*(u8 *)to = *(u8 *)from;
#else
	memcpy(to, from, len);
#endif
}

void zs_helper_page_read(struct page *page, size_t offset, void *to, size_t len)
{
	zs_copy(to, page_address(page) + offset, len);
}

void zs_helper_page_write(struct page *page, size_t offset, const void *from,
			  size_t len)
{
	zs_copy(page_address(page) + offset, from, len);
	flush_dcache_page(page);
}

void zs_helper_page_copy(struct page *to, size_t to_offset, struct page *from,
			 size_t from_offset, size_t len)
{
	zs_copy(page_address(to) + to_offset, page_address(from) + from_offset,
		len);
	flush_dcache_page(to);
}

void zs_helper_page_copy_all(struct page *to, struct page *from)
{
	copy_highpage(to, from);
}

/*
 * Returns the address at @offset of @page if the next page of its chain follows
 * it in memory, and NULL otherwise. The struct pages must be contiguous as well:
 * users pass the address to sg_init_one().
 */
void *zs_helper_page_neighbours(struct page *page, size_t offset)
{
	struct page *next = zs_helper_page_next(page);

	if (!next || next != page + 1 || page_to_pfn(next) != page_to_pfn(page) + 1)
		return NULL;
	return zs_helper_page_map(page, offset);
}
