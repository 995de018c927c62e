// SPDX-License-Identifier: GPL-2.0
/* Timed mappings, for kernels with zs_map_object(). */

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
 * is mapped through the buffer, or if its mapping crosses a page boundary. ref:
 * see zb_note_span().
 */
int zb_cmd_classify(struct zb_bench *b, const char *args)
{
	bool ref = zb_arg(args, "ref", 0);
	unsigned long *sample, buffer;
	u16 *max_sizes;
	u32 i;

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
		/* The mapping covers the whole slot. */
		zb_note_span(o, is_copied || offset_in_page(address) +
			     max_sizes[zb_class(b, o->size)] > PAGE_SIZE, is_copied, ref);
	}
	put_cpu();

	kvfree(sample);
	kfree(max_sizes);
	zb_print_spans(b);
	return 0;
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

/*
 * map n=ROUNDS set=SET seed=S [read=1] [lap=N]: maps and unmaps random objects.
 * With read=1, reads them while mapped.
 */
int zb_cmd_map(struct zb_bench *b, const char *args)
{
	u32 rounds;
	int ret = zb_select(b, args, 0, &rounds);

	if (ret)
		return ret;
	return zb_time(b, args, zb_arg(args, "read", 0) ? zb_map_read : zb_map, zb_handle_loop,
		       rounds);
}
