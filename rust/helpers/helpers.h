/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Wrappers for inline functions and macros, which Rust cannot call. One file
 * per concept, all included by helpers.c.
 */
#ifndef ZS_HELPERS_H
#define ZS_HELPERS_H

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

/*
 * When C and Rust are linked as LLVM bitcode (see Kbuild), hot helpers are
 * inlined into Rust. This needs always_inline: clang and rustc record different
 * target features, across which LLVM does not inline by itself.
 */
#ifdef ZS_INLINE_HELPERS
#define __zs_inline __attribute__((__always_inline__))
#else
#define __zs_inline
#endif

/* cpu_area.c */
#define ZS_AREA_MODE 0xff
#define ZS_AREA_BOUNCED 0x100

struct zs_cpu_area {
	/* The mapped object. entry is NULL if this CPU has none. */
	u64 handle;
	const void *entry;
	/* ZS_AREA_MODE and ZS_AREA_BOUNCED, in one word to set both at once. */
	u32 flags;
	void *buffer;
};

int zs_helper_cpu_areas_init(void);
void zs_helper_cpu_areas_exit(void);
__zs_inline struct zs_cpu_area *
zs_helper_cpu_area_enter(u64 handle, u8 mode);
__zs_inline struct zs_cpu_area *zs_helper_cpu_area_resume(u64 handle);
__zs_inline void zs_helper_cpu_area_exit(struct zs_cpu_area *area);

/* gfp.c */
__zs_inline gfp_t zs_helper_gfp_for_pages(gfp_t gfp);
gfp_t zs_helper_gfp_for_metadata(gfp_t gfp);
gfp_t zs_helper_gfp_for_compaction(void);

/* list.c */
void zs_helper_list_init(struct list_head *head);
__zs_inline void zs_helper_list_add(struct list_head *entry, struct list_head *head);
__zs_inline void zs_helper_list_add_tail(struct list_head *entry,
					 struct list_head *head);
__zs_inline void zs_helper_list_del(struct list_head *entry);

/* lockdep.c */
#ifdef CONFIG_DEBUG_LOCK_ALLOC
void zs_helper_entry_awaited(void);
void zs_helper_entry_acquired(void);
void zs_helper_entry_released(void);
#endif

/* page.c */
/*
 * A handle's entry has this many bits for an address. On arm64 every physical
 * address fits, of 48 or 52 bits. Elsewhere pages up to 256 TiB do.
 */
#ifdef CONFIG_ARM64
#define ZS_ADDRESS_BITS CONFIG_ARM64_PA_BITS
#else
#define ZS_ADDRESS_BITS 48
#endif

struct page *zs_helper_page_alloc(gfp_t gfp, int nid);
__zs_inline struct page *zs_helper_pfn_to_page(size_t pfn);
__zs_inline size_t zs_helper_page_to_pfn(struct page *page);
__zs_inline void zs_helper_page_attach(struct page *page, void *owner, u32 position, u32 class);
__zs_inline void zs_helper_page_detach(struct page *page);
__zs_inline void *zs_helper_page_owner(struct page *page);
__zs_inline u32 zs_helper_page_position(struct page *page);
__zs_inline u32 zs_helper_page_class(struct page *page);
__zs_inline struct page *zs_helper_page_next(struct page *page);
__zs_inline struct page *zs_helper_page_find(struct page *page, u32 position);
__zs_inline void zs_helper_page_set_next(struct page *page, struct page *next);
__zs_inline u32 zs_helper_page_huge_handle(struct page *page);
__zs_inline void zs_helper_page_set_huge_handle(struct page *page, u32 handle);
void zs_helper_page_take_link(struct page *page, struct page *old);
__zs_inline void zs_helper_page_make_movable(struct page *page);
__zs_inline bool zs_helper_page_trylock(struct page *page);
__zs_inline void zs_helper_page_unlock(struct page *page);
void zs_helper_page_wait_unlocked(struct page *page);
void zs_helper_page_get(struct page *page);
void zs_helper_page_put(struct page *page);
void zs_helper_page_discard(struct page *page);
void zs_helper_pages_release(struct page *first);
void zs_helper_page_adopt(struct page *newpage);
void zs_helper_page_finish_adoption(struct page *newpage, struct page *page);
__zs_inline void *zs_helper_page_map(struct page *page, size_t offset);
__zs_inline void *zs_helper_map_address(u64 address);
__zs_inline u32 zs_helper_read_u32_at(u64 address);
__zs_inline void zs_helper_write_u32_at(u64 address, u32 value);
void zs_helper_page_read(struct page *page, size_t offset, void *to, size_t len);
void zs_helper_page_write(struct page *page, size_t offset, const void *from,
			  size_t len);
__zs_inline void zs_helper_page_copy(struct page *to, size_t to_offset,
				     struct page *from, size_t from_offset,
				     size_t len);
void zs_helper_page_copy_all(struct page *to, struct page *from);
__zs_inline void *zs_helper_page_neighbours(struct page *page, size_t offset);

/* report.c */
void zs_helper_warn_handle(const char *pool, unsigned long handle,
			   const char *call, int call_len,
			   const char *reason, int reason_len);
void zs_helper_warn_forgotten(void);
void zs_helper_warn_corrupt(void);
__noreturn void zs_helper_bug(void);

/* sched.c */
__zs_inline void zs_helper_preempt_disable(void);
__zs_inline void zs_helper_preempt_enable(void);
__zs_inline bool zs_helper_need_resched(void);
void zs_helper_cond_resched(void);
void zs_helper_sleep_a_tick(void);
u64 zs_helper_clock_ns(void);

/* scatterlist.c */
__zs_inline void zs_helper_sg_init(struct scatterlist *sg, unsigned int count);
__zs_inline void zs_helper_sg_set_page(struct scatterlist *sg,
				       struct page *page, size_t offset,
				       size_t len);
void zs_helper_sg_set_zeroes(struct scatterlist *sg, size_t len);

/* slab.c */
void *zs_helper_kzalloc(size_t size, gfp_t gfp);
void zs_helper_kfree(void *memory);
void zs_helper_kfree_rcu(void *memory);
int zs_helper_zspage_cache_create(size_t size, size_t align);
void zs_helper_zspage_cache_destroy(void);
void *zs_helper_zspage_cache_alloc(size_t size, size_t align, gfp_t gfp);
void zs_helper_zspage_cache_free(void *zspage);

/* spinlock.c */
void zs_helper_spin_lock_init(spinlock_t *lock, int class);
__zs_inline void zs_helper_spin_lock(spinlock_t *lock);
__zs_inline bool zs_helper_spin_trylock(spinlock_t *lock);
__zs_inline void zs_helper_spin_unlock(spinlock_t *lock);
__zs_inline bool zs_helper_spin_is_contended(spinlock_t *lock);

/* work.c */
struct zs_work {
	struct delayed_work work;
	void (*run)(void *target);
	void *target;
};

void zs_helper_work_init(struct zs_work *work, void (*run)(void *target),
			 void *target);
void zs_helper_work_schedule(struct zs_work *work);
void zs_helper_work_schedule_after(struct zs_work *work, u32 ms);
void zs_helper_work_cancel(struct zs_work *work);
void zs_helper_work_flush(struct zs_work *work);

#endif /* ZS_HELPERS_H */
