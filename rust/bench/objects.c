// SPDX-License-Identifier: GPL-2.0
/* The pool and its objects: allocation and contents. */

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "access.h"
#include "timed.h"

/* Makes room for @nr objects, which are not allocated yet. */
int zb_resize(struct zb_bench *b, u32 nr)
{
	zb_free_all(b);
	if (nr != b->nr) {
		vfree(b->objects);
		b->nr = 0;
		b->objects = vzalloc(array_size(nr, sizeof(*b->objects)));
		if (!b->objects)
			return -ENOMEM;
		b->nr = nr;
	}
	return 0;
}

/* Makes room for a timed loop of @nr rounds. */
int zb_order_resize(struct zb_bench *b, u32 nr)
{
	if (nr <= b->nr_order)
		return 0;
	vfree(b->order);
	vfree(b->new_sizes);
	b->nr_order = 0;
	b->order = vmalloc(array_size(nr, sizeof(*b->order)));
	b->new_sizes = vmalloc(array_size(nr, sizeof(*b->new_sizes)));
	if (!b->order || !b->new_sizes)
		return -ENOMEM;
	b->nr_order = nr;
	return 0;
}

/* Stores the indexes of all live objects in ->order. Returns their number. */
u32 zb_list_live(struct zb_bench *b)
{
	u32 i, n = 0;

	for (i = 0; i < b->nr && n < b->nr_order; i++)
		if (b->objects[i].handle)
			b->order[n++] = i;
	return n;
}

u32 zb_class(struct zb_bench *b, u16 size)
{
	return min(zs_lookup_class_index(b->pool, size), ZB_MAX_CLASSES - 1U);
}

/* Finds the largest request of each class, 0 for classes that do not exist. */
void zb_class_sizes(struct zb_bench *b, u16 *max_sizes)
{
	u32 size;

	memset(max_sizes, 0, ZB_MAX_CLASSES * sizeof(*max_sizes));
	for (size = 1; size <= PAGE_SIZE; size++)
		max_sizes[zb_class(b, size)] = size;
}

void zb_free_all(struct zb_bench *b)
{
	u32 i;

	for (i = 0; i < b->nr; i++) {
		if (b->objects[i].handle)
			zs_free(b->pool, b->objects[i].handle);
		b->objects[i].handle = 0;
	}
}

/* create: creates an empty pool with the backend that the drop-in uses. */
int zb_cmd_create(struct zb_bench *b, const char *args)
{
	if (b->pool)
		return -EBUSY;
	b->nid = numa_mem_id();
	b->pool = zs_create_pool("bench");
	return b->pool ? 0 : -ENOMEM;
}

int zb_cmd_destroy(struct zb_bench *b, const char *args)
{
	if (!b->pool)
		return 0;
	zb_free_all(b);
	zs_destroy_pool(b->pool);
	b->pool = NULL;
	return 0;
}

/* pools n=N: replaces the extra pools by N empty ones. */
int zb_cmd_pools(struct zb_bench *b, const char *args)
{
	u32 n = zb_arg(args, "n", 0);
	char name[16];

	while (b->nr_pools)
		zs_destroy_pool(b->pools[--b->nr_pools]);
	kfree(b->pools);
	b->pools = NULL;
	if (!n)
		return 0;
	b->pools = kcalloc(n, sizeof(*b->pools), GFP_KERNEL);
	if (!b->pools)
		return -ENOMEM;
	for (; b->nr_pools < n; b->nr_pools++) {
		snprintf(name, sizeof(name), "empty%u", b->nr_pools);
		b->pools[b->nr_pools] = zs_create_pool(name);
		if (!b->pools[b->nr_pools])
			return -ENOMEM;
	}
	return 0;
}

/* The timed loop contains nothing but the allocation. */
static int zb_fill(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		struct zb_object *o = &b->objects[i];

		o->handle = zb_malloc(b, o->size);
		if (IS_ERR_VALUE(o->handle)) {
			o->handle = 0;
			return -ENOMEM;
		}
	}
	return 0;
}

/* The loop of zb_fill() without the call. */
static int zb_fill_loop(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		struct zb_object *o = &b->objects[i];
		unsigned long handle = o->size;

		OPTIMIZER_HIDE_VAR(handle);
		WRITE_ONCE(o->handle, 0);
		if (IS_ERR_VALUE(handle))
			return -ENOMEM;
	}
	return 0;
}

/* Draws @nr sizes from the histogram, or @per_class sizes in each class. */
static int zb_draw_sizes(struct zb_bench *b, u32 nr, u32 per_class, u64 seed)
{
	u16 *max_sizes;
	struct zb_random r;
	u32 i = 0, class, k, classes = 0;
	int ret;

	if (!per_class) {
		if (!zb_sizes_known())
			return -EINVAL;
		ret = zb_resize(b, nr);
		if (ret)
			return ret;
		zb_seed(&r, seed);
		for (i = 0; i < nr; i++)
			b->objects[i].size = zb_sizes_draw(&r);
		return 0;
	}

	max_sizes = kcalloc(ZB_MAX_CLASSES, sizeof(*max_sizes), GFP_KERNEL);
	if (!max_sizes)
		return -ENOMEM;
	zb_class_sizes(b, max_sizes);
	for (class = 0; class < ZB_MAX_CLASSES; class++)
		classes += !!max_sizes[class];
	ret = zb_resize(b, classes * per_class);
	for (class = 0; !ret && class < ZB_MAX_CLASSES; class++)
		for (k = 0; max_sizes[class] && k < per_class; k++)
			b->objects[i++].size = max_sizes[class];
	kfree(max_sizes);
	return ret;
}

/*
 * fill n=N seed=S, or fill per_class=N, [lap=N]: frees all objects, then
 * allocates new ones.
 */
int zb_cmd_fill(struct zb_bench *b, const char *args)
{
	u32 nr = zb_arg(args, "n", 0), per_class = zb_arg(args, "per_class", 0);
	int ret;

	if (!b->pool || (!nr && !per_class))
		return -EINVAL;
	ret = zb_draw_sizes(b, nr, per_class, zb_arg(args, "seed", 1));
	if (ret)
		return ret;
	return zb_time(b, args, zb_fill, zb_fill_loop, b->nr);
}

/* room n=N: frees all objects, and makes room for N. */
int zb_cmd_room(struct zb_bench *b, const char *args)
{
	u32 nr = zb_arg(args, "n", 0);

	return b->pool && nr ? zb_resize(b, nr) : -EINVAL;
}

static int zb_refill(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		struct zb_object *o = &b->objects[b->order[i]];

		o->size = b->new_sizes[i];
		o->handle = zb_malloc(b, o->size);
		if (IS_ERR_VALUE(o->handle)) {
			o->handle = 0;
			return -ENOMEM;
		}
	}
	return 0;
}

static int zb_refill_loop(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		struct zb_object *o = &b->objects[b->order[i]];
		unsigned long handle = b->new_sizes[i];

		OPTIMIZER_HIDE_VAR(handle);
		WRITE_ONCE(o->size, handle);
		WRITE_ONCE(o->handle, 0);
		if (IS_ERR_VALUE(handle))
			return -ENOMEM;
	}
	return 0;
}

/* refill n=N seed=S [lap=N]: allocates N objects where there are none. */
int zb_cmd_refill(struct zb_bench *b, const char *args)
{
	u32 i, n = 0, nr = zb_arg(args, "n", 0);
	struct zb_random r;
	int ret;

	if (!b->pool || !nr || !zb_sizes_known())
		return -EINVAL;
	ret = zb_order_resize(b, nr);
	if (ret)
		return ret;
	zb_seed(&r, zb_arg(args, "seed", 1));
	for (i = 0; i < b->nr && n < nr; i++) {
		if (!b->objects[i].handle) {
			b->order[n] = i;
			b->new_sizes[n++] = zb_sizes_draw(&r);
		}
	}
	if (n < nr)
		return -ENOSPC;
	return zb_time(b, args, zb_refill, zb_refill_loop, n);
}

/* The contents of an object depend on its number and its size. */
static u64 zb_word(u32 i, u16 size, u32 at)
{
	return ((u64)i << 32 ^ (u64)size << 16 ^ at) * 0x9e3779b97f4a7c15ULL;
}

/* Objects and buffers are aligned to eight bytes. */
void zb_put_content(u64 *to, u32 i, u16 size)
{
	u32 at;
	u64 word;

	for (at = 0; at + sizeof(word) <= size; at += sizeof(word))
		*to++ = zb_word(i, size, at);
	word = zb_word(i, size, at);
	memcpy(to, &word, size - at);
}

bool zb_has_content(const u64 *from, u32 i, u16 size)
{
	u32 at;
	u64 word;

	for (at = 0; at + sizeof(word) <= size; at += sizeof(word))
		if (*from++ != zb_word(i, size, at))
			return false;
	word = zb_word(i, size, at);
	return !memcmp(from, &word, size - at);
}

/* write: writes the contents that "verify" expects. */
int zb_cmd_write(struct zb_bench *b, const char *args)
{
	u32 i;

	for (i = 0; i < b->nr; i++) {
		struct zb_object *o = &b->objects[i];

		if (!o->handle)
			continue;
		zb_put_content(b->page, i, o->size);
		zb_write(b, o, b->page, o->size);
		cond_resched();
	}
	return 0;
}

/* verify: fails if an object does not have the contents that "write" wrote. */
int zb_cmd_verify(struct zb_bench *b, const char *args)
{
	u32 i, good = 0, bad = 0;

	for (i = 0; i < b->nr; i++) {
		struct zb_object *o = &b->objects[i];
		void *from;

		if (!o->handle)
			continue;
		from = zb_read_begin(b, o, b->page);
		if (zb_has_content(from, i, o->size))
			good++;
		else
			bad++;
		zb_read_end(b, o, from);
		cond_resched();
	}
	seq_buf_printf(&b->out, "good=%u bad=%u\n", good, bad);
	return bad ? -EIO : 0;
}

/* stat: prints the number of objects, their bytes and their pages. */
int zb_cmd_stat(struct zb_bench *b, const char *args)
{
	u32 i, live = 0;
	u64 bytes = 0;

	if (!b->pool)
		return -EINVAL;
	for (i = 0; i < b->nr; i++) {
		if (b->objects[i].handle) {
			live++;
			bytes += b->objects[i].size;
		}
	}
	seq_buf_printf(&b->out, "objects=%u bytes=%llu pages=%lu huge_size=%zu\n", live, bytes,
		       zs_get_total_pages(b->pool), zs_huge_class_size(b->pool));
	return 0;
}
