/* SPDX-License-Identifier: GPL-2.0 */
/* The trampolines, and what they jump to. */
#ifndef ZS_TAKEOVER_TRAMPOLINES_H
#define ZS_TAKEOVER_TRAMPOLINES_H

#include <linux/kconfig.h>
#include <linux/types.h>

struct zs_pool;
struct zs_pool_stats;

/* Kbuild builds trampolines.S under the same condition. */
#define ZS_HAVE_TRAMPOLINES						\
	(IS_ENABLED(CONFIG_X86_64) &&					\
	 IS_ENABLED(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS))

extern char zs_trampoline_malloc[];
extern char zs_trampoline_free[];
#ifdef ZS_HAVE_OBJ_READ
extern char zs_trampoline_obj_read_begin[];
extern char zs_trampoline_obj_read_end[];
extern char zs_trampoline_obj_read_sg_begin[];
extern char zs_trampoline_obj_read_sg_end[];
extern char zs_trampoline_obj_write[];
#else
extern char zs_trampoline_map_object[];
extern char zs_trampoline_unmap_object[];
#endif
extern char zs_trampoline_huge_class_size[];
extern char zs_trampoline_get_total_pages[];
extern char zs_trampoline_compact[];
extern char zs_trampoline_lookup_class_index[];
extern char zs_trampoline_pool_stats[];

#ifndef ZS_HAVE_MALLOC_NID
/* Like zs_malloc(). @pool is one of ours, with or without the tag. */
unsigned long zs_takeover_malloc(struct zs_pool *pool, size_t size, gfp_t gfp);
#endif

/* Like zs_pool_stats(), for the same pools. */
void zs_takeover_pool_stats(struct zs_pool *pool, struct zs_pool_stats *stats);

#endif /* ZS_TAKEOVER_TRAMPOLINES_H */
