// SPDX-License-Identifier: GPL-2.0
/* Frees objects in patterns, and compacts. */

#include <linux/slab.h>

#include "timed.h"

/* Whether object @k of the @n objects in a class is kept. */
static bool zb_keeps(struct zb_random *r, const char *args, u32 percent, u32 k, u32 n)
{
	if (zb_arg_is(args, "keep", "alternate"))
		return k & 1;
	if (zb_arg_is(args, "keep", "halves"))
		return zb_below(r, 100) < (k < n / 2 ? 20 : 80);
	if (zb_arg_is(args, "keep", "skewed")) {
		/* From almost empty to full, mostly sparse zspages. */
		u64 share = (u64)k * 1000 / n;

		return zb_below(r, 1000 * 1000) < share * share;
	}
	if (zb_arg_is(args, "keep", "runs"))
		return (k / 16) & 1 ? zb_below(r, 100) < 90 : zb_below(r, 100) < 30;
	if (zb_arg_is(args, "keep", "third"))
		return !(k % 3);
	if (zb_arg_is(args, "keep", "older"))
		return k < n / 2 || zb_below(r, 100) < 10;
	return zb_below(r, 100) < percent;
}

static int zb_free(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		struct zb_object *o = &b->objects[b->order[i]];

		zs_free(b->pool, o->handle);
		o->handle = 0;
	}
	return 0;
}

static int zb_free_loop(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		struct zb_object *o = &b->objects[b->order[i]];
		unsigned long handle = o->handle;

		OPTIMIZER_HIDE_VAR(handle);
		WRITE_ONCE(o->handle, handle);
	}
	return 0;
}

/*
 * punch keep=PERCENT seed=S [lap=N] [order=index]: frees the other objects in
 * random order, or with order=index in the order in which "fill" allocated them.
 * Instead of a percentage, keep= takes "random" (20 to 80 percent, drawn for
 * each class), alternate, halves, skewed, runs, third or older.
 */
int zb_cmd_punch(struct zb_bench *b, const char *args)
{
	struct zb_random r;
	u32 (*classes)[3];	/* how many objects, how many seen, percentage */
	u32 i, class, n = 0;
	int ret;

	if (!b->pool)
		return -EINVAL;
	ret = zb_order_resize(b, b->nr);
	if (ret)
		return ret;
	classes = kcalloc(ZB_MAX_CLASSES, sizeof(*classes), GFP_KERNEL);
	if (!classes)
		return -ENOMEM;
	zb_seed(&r, zb_arg(args, "seed", 1));
	for (class = 0; class < ZB_MAX_CLASSES; class++)
		classes[class][2] = zb_arg(args, "keep", 20 + zb_below(&r, 61));
	for (i = 0; i < b->nr; i++)
		if (b->objects[i].handle)
			classes[zb_class(b, b->objects[i].size)][0]++;
	for (i = 0; i < b->nr; i++) {
		u32 *c;

		if (!b->objects[i].handle)
			continue;
		c = classes[zb_class(b, b->objects[i].size)];
		if (!zb_keeps(&r, args, c[2], c[1]++, c[0]))
			b->order[n++] = i;
	}
	kfree(classes);
	if (!zb_arg_is(args, "order", "index"))
		zb_shuffle(&r, b->order, n);

	return zb_time(b, args, zb_free, zb_free_loop, n);
}

/*
 * Returns the location of an object as the C allocator stores it. The handle of
 * C is the address of that word. There is no other way to see which objects its
 * compaction moves. Objects on pages that the kernel migrates in the meantime
 * would count, too.
 */
static unsigned long zb_c_location(const struct zb_object *o)
{
	return READ_ONCE(*(unsigned long *)o->handle);
}

/* compact [c=1]: compacts. With c=1, counts moved objects (C pools only). */
int zb_cmd_compact(struct zb_bench *b, const char *args)
{
	unsigned long *locations = NULL, pages;
	u32 i, moved = 0;
	u64 ns;

	if (!b->pool)
		return -EINVAL;
	if (zb_arg(args, "c", 0)) {
		locations = kvcalloc(b->nr, sizeof(*locations), GFP_KERNEL);
		if (!locations)
			return -ENOMEM;
		for (i = 0; i < b->nr; i++)
			if (b->objects[i].handle)
				locations[i] = zb_c_location(&b->objects[i]);
	}
	ns = ktime_get_ns();
	pages = zs_compact(b->pool);
	ns = ktime_get_ns() - ns;
	for (i = 0; locations && i < b->nr; i++)
		moved += b->objects[i].handle && locations[i] != zb_c_location(&b->objects[i]);
	kvfree(locations);
	seq_buf_printf(&b->out, "pages=%lu ns=%llu moved=%u\n", pages, ns, moved);
	return 0;
}
