// SPDX-License-Identifier: GPL-2.0
/* Timed mappings, and a pool in steady state. */

#include <linux/err.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/sort.h>

#include "timed.h"

/* Enough objects to find two that are mapped at the same address. */
#define ZB_SAMPLE 4096

static int zb_compare(const void *a, const void *b)
{
	unsigned long x = *(unsigned long *)a, y = *(unsigned long *)b;

	return x < y ? -1 : x > y;
}

static unsigned long zb_address(struct zb_bench *b, u32 i)
{
	unsigned long address;

	address = (unsigned long)zs_map_object(b->pool, b->objects[i].handle, ZS_MM_RO);
	zs_unmap_object(b->pool, b->objects[i].handle);
	return address;
}

/*
 * Returns the address at which this CPU maps objects through a buffer, or 0 if
 * there are none. Two objects can be mapped at the same address only if both
 * are copied to the buffer. The caller must stay on its CPU.
 */
static unsigned long zb_buffer(struct zb_bench *b, unsigned long *sample)
{
	u32 i, n = 0;

	for (i = 0; i < b->nr && n < ZB_SAMPLE; i++)
		if (b->objects[i].handle)
			sample[n++] = zb_address(b, i);
	sort(sample, n, sizeof(*sample), zb_compare, NULL);
	for (i = 1; i < n; i++)
		if (sample[i] == sample[i - 1])
			return sample[i];
	return 0;
}

/*
 * classify [ref=1]: finds objects that span pages. An object spans pages if it
 * is mapped through the buffer, or if its mapping crosses a page boundary. With
 * ref=1, the result is also kept as a reference, by which objects with the same
 * numbers can be selected in the next pool.
 */
int zb_cmd_classify(struct zb_bench *b, const char *args)
{
	u32 i, spans = 0, ref_spans = 0, copied = 0;
	bool ref = zb_arg(args, "ref", 0);
	unsigned long *sample, buffer;
	u16 *max_sizes;

	if (!b->pool)
		return -EINVAL;
	sample = kvmalloc_array(ZB_SAMPLE, sizeof(*sample), GFP_KERNEL);
	max_sizes = kcalloc(ZB_MAX_CLASSES, sizeof(*max_sizes), GFP_KERNEL);
	if (!sample || !max_sizes) {
		kvfree(sample);
		kfree(max_sizes);
		return -ENOMEM;
	}
	zb_class_sizes(b, max_sizes);

	get_cpu();
	buffer = zb_buffer(b, sample);
	for (i = 0; i < b->nr; i++) {
		struct zb_object *o = &b->objects[i];
		unsigned long address;
		bool is_copied;

		if (!o->handle)
			continue;
		address = zb_address(b, i);
		is_copied = address == buffer;
		o->span &= ~ZB_SPANS;
		/* The mapping covers the whole slot. */
		if (is_copied ||
		    offset_in_page(address) + max_sizes[zb_class(b, o->size)] > PAGE_SIZE)
			o->span |= ZB_SPANS;
		if (ref)
			o->span = o->span & ZB_SPANS ? ZB_SPANS | ZB_REF_SPANS : 0;
		spans += !!(o->span & ZB_SPANS);
		ref_spans += !!(o->span & ZB_REF_SPANS);
		copied += is_copied;
	}
	put_cpu();

	kvfree(sample);
	kfree(max_sizes);
	seq_buf_printf(&b->out, "spans=%u copied=%u ref_spans=%u\n", spans, copied, ref_spans);
	return 0;
}

/*
 * The objects to map: set=all, in or span, or by reference: ref_in or ref_span.
 */
static bool zb_in_set(const struct zb_object *o, const char *args)
{
	if (zb_arg_is(args, "set", "in"))
		return !(o->span & ZB_SPANS);
	if (zb_arg_is(args, "set", "span"))
		return o->span & ZB_SPANS;
	if (zb_arg_is(args, "set", "ref_in"))
		return !(o->span & ZB_REF_SPANS);
	if (zb_arg_is(args, "set", "ref_span"))
		return o->span & ZB_REF_SPANS;
	return true;
}

static int zb_map(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		unsigned long handle = b->objects[b->order[i]].handle;
		void *address = zs_map_object(b->pool, handle, ZS_MM_RO);

		OPTIMIZER_HIDE_VAR(address);
		zs_unmap_object(b->pool, handle);
	}
	return 0;
}

/* Also reads the first bytes, as a user would. The read may miss the cache. */
static int zb_map_read(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		unsigned long handle = b->objects[b->order[i]].handle;
		u64 *address = zs_map_object(b->pool, handle, ZS_MM_RO);

		READ_ONCE(*address);
		zs_unmap_object(b->pool, handle);
	}
	return 0;
}

static int zb_map_loop(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		unsigned long handle = b->objects[b->order[i]].handle;

		OPTIMIZER_HIDE_VAR(handle);
	}
	return 0;
}

/*
 * map n=ROUNDS set=SET seed=S [read=1] [lap=N]: maps and unmaps random objects.
 * With read=1, reads them while mapped.
 */
int zb_cmd_map(struct zb_bench *b, const char *args)
{
	u32 i, n, rounds = zb_arg(args, "n", 0);
	struct zb_random r;
	int ret;

	if (!b->pool || !rounds)
		return -EINVAL;
	ret = zb_order_resize(b, max(rounds, b->nr));
	if (ret)
		return ret;
	n = zb_list_live(b);
	for (i = 0; i < n;) {
		if (zb_in_set(&b->objects[b->order[i]], args))
			i++;
		else
			b->order[i] = b->order[--n];
	}
	if (!n)
		return -ENOENT;
	/* Uses each object about equally often, in random order. */
	for (i = n; i < rounds; i++)
		b->order[i] = b->order[i - n];
	zb_seed(&r, zb_arg(args, "seed", 1));
	zb_shuffle(&r, b->order, max(n, rounds));

	seq_buf_printf(&b->out, "objects=%u ", n);
	return zb_time(b, args, zb_arg(args, "read", 0) ? zb_map_read : zb_map, zb_map_loop,
		       rounds);
}

static int zb_churn(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		struct zb_object *o = &b->objects[b->order[i]];

		zs_free(b->pool, o->handle);
		o->size = b->new_sizes[i];
		o->handle = zs_malloc(b->pool, o->size, ZB_GFP);
		if (IS_ERR_VALUE(o->handle)) {
			o->handle = 0;
			return -ENOMEM;
		}
	}
	return 0;
}

static int zb_churn_loop(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		struct zb_object *o = &b->objects[b->order[i]];
		unsigned long handle = o->handle;

		OPTIMIZER_HIDE_VAR(handle);
		WRITE_ONCE(o->size, b->new_sizes[i]);
		WRITE_ONCE(o->handle, handle);
		if (IS_ERR_VALUE(handle))
			break;
	}
	return 0;
}

/*
 * churn n=ROUNDS seed=S [lap=N]: replaces random objects by objects of other
 * sizes.
 */
int zb_cmd_churn(struct zb_bench *b, const char *args)
{
	u32 i, n, rounds = zb_arg(args, "n", 0);
	struct zb_random r;
	int ret;

	if (!b->pool || !rounds || !zb_sizes_known())
		return -EINVAL;
	ret = zb_order_resize(b, max(rounds, b->nr));
	if (ret)
		return ret;
	n = zb_list_live(b);
	if (!n)
		return -ENOENT;
	zb_seed(&r, zb_arg(args, "seed", 1));
	zb_shuffle(&r, b->order, n);
	for (i = 0; i < rounds; i++) {
		if (i >= n)
			b->order[i] = b->order[zb_below(&r, n)];
		b->new_sizes[i] = zb_sizes_draw(&r);
	}

	return zb_time(b, args, zb_churn, zb_churn_loop, rounds);
}
