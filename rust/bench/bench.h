/* SPDX-License-Identifier: GPL-2.0 */
/*
 * zsmalloc_bench.ko: measures the zsmalloc behind <linux/zsmalloc.h>, through
 * that header only.
 *
 * There is one pool at a time, with an array of objects. User space writes
 * commands to debugfs, each a word followed by key=value pairs. It thus decides
 * the order of operations and the backend of the drop-in. See commands.c. All
 * random choices depend on the seed only.
 */
#ifndef ZSMALLOC_BENCH_H
#define ZSMALLOC_BENCH_H

#include <linux/atomic.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/seq_buf.h>
#include <linux/types.h>
#include <linux/zsmalloc.h>

/* More than any allocator has, for every page size. */
#define ZB_MAX_CLASSES 512

/* The flags of zram. */
#define ZB_GFP (__GFP_KSWAPD_RECLAIM | __GFP_NOWARN | __GFP_HIGHMEM | __GFP_MOVABLE)

enum zb_span {
	ZB_SPANS	= 1,	/* spans pages in this pool */
	ZB_REF_SPANS	= 2,	/* spanned pages at the last "classify ref=1" */
	ZB_COPIED	= 4,	/* is read through a buffer */
};

struct zb_object {
	unsigned long handle;	/* 0 if not allocated */
	u16 size;
	u8 span;
};

struct zb_bench {
	struct zs_pool *pool;
	int nid;		/* on which objects are allocated */
	struct zb_object *objects;
	u32 nr;
	/* The objects of a timed loop, in order. Drawn before it starts. */
	u32 *order;
	u16 *new_sizes;
	u32 nr_order;
	u64 page[PAGE_SIZE / sizeof(u64)];	/* an object that is read or written */
	u16 write_len;
	/* Empty pools created by "pools". */
	struct zs_pool **pools;
	u32 nr_pools;
	struct seq_buf out;
};

/*
 * Keeps the load of a value in a loop that is subtracted. OPTIMIZER_HIDE_VAR()
 * does not, if its result is not used.
 */
static __always_inline void zb_use(unsigned long value)
{
	asm volatile("" : : "r" (value));
}

/* Looks up a key=value pair in the arguments of a command. */
u64 zb_arg(const char *args, const char *key, u64 otherwise);
bool zb_arg_is(const char *args, const char *key, const char *value);

/* random.c */
struct zb_random {
	u64 state;
};

void zb_seed(struct zb_random *r, u64 seed);
u64 zb_next(struct zb_random *r);

/* Returns a number below @n, which must not be 0. */
static inline u32 zb_below(struct zb_random *r, u32 n)
{
	return ((u64)(u32)zb_next(r) * n) >> 32;
}

void zb_shuffle(struct zb_random *r, u32 *what, u32 n);

/* sizes.c */
int zb_sizes_parse(char *text);
bool zb_sizes_known(void);
u16 zb_sizes_draw(struct zb_random *r);
void zb_sizes_exit(void);

/* objects.c */
int zb_resize(struct zb_bench *b, u32 nr);
int zb_order_resize(struct zb_bench *b, u32 nr);
u32 zb_list_live(struct zb_bench *b);
u32 zb_class(struct zb_bench *b, u16 size);
void zb_class_sizes(struct zb_bench *b, u16 *max_sizes);
void zb_free_all(struct zb_bench *b);
int zb_cmd_create(struct zb_bench *b, const char *args);
int zb_cmd_destroy(struct zb_bench *b, const char *args);
int zb_cmd_pools(struct zb_bench *b, const char *args);
int zb_cmd_fill(struct zb_bench *b, const char *args);
int zb_cmd_write(struct zb_bench *b, const char *args);
int zb_cmd_verify(struct zb_bench *b, const char *args);
int zb_cmd_stat(struct zb_bench *b, const char *args);

void zb_put_content(u64 *to, u32 i, u16 size);
bool zb_has_content(const u64 *from, u32 i, u16 size);

/* ops.c */
void zb_note_span(struct zb_object *o, bool spans, bool copied, bool ref);
void zb_print_spans(struct zb_bench *b);
int zb_select(struct zb_bench *b, const char *args, u32 min_size, u32 *rounds);
int zb_cmd_churn(struct zb_bench *b, const char *args);
int zb_cmd_room(struct zb_bench *b, const char *args);
int zb_cmd_refill(struct zb_bench *b, const char *args);

/* map.c or read.c, by what the kernel has */
int zb_cmd_classify(struct zb_bench *b, const char *args);

/* map.c */
int zb_cmd_map(struct zb_bench *b, const char *args);

/* read.c */
int zb_cmd_read(struct zb_bench *b, const char *args);
int zb_cmd_sg(struct zb_bench *b, const char *args);
int zb_cmd_obj_write(struct zb_bench *b, const char *args);

/* compact.c */
int zb_cmd_punch(struct zb_bench *b, const char *args);
int zb_cmd_compact(struct zb_bench *b, const char *args);

#endif /* ZSMALLOC_BENCH_H */
