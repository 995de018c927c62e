// SPDX-License-Identifier: GPL-2.0
/* Timed reads and writes, for kernels with zs_obj_read_begin(). */

#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "access.h"
#include "timed.h"

/* Reads an object, and looks at where it was read. */
static int zb_look(struct zb_bench *b, const struct zb_object *o, bool *spans, bool *copied)
{
	void *address = zb_read_begin(b, o, b->page);

	if (!address)
		return -EIO;
	*copied = address == b->page;
	*spans = *copied || offset_in_page(address) + o->size > PAGE_SIZE;
	zb_read_end(b, o, address);
	return 0;
}

/*
 * classify [ref=1]: finds objects that span pages. An object spans pages if the
 * allocator copied it to the caller's buffer, or if the bytes that it lent cross
 * a page boundary. ref: see zb_note_span().
 */
int zb_cmd_classify(struct zb_bench *b, const char *args)
{
	bool ref = zb_arg(args, "ref", 0), spans, copied;
	u32 i;
	int ret;

	if (!b->pool)
		return -EINVAL;
	for (i = 0; i < b->nr; i++) {
		struct zb_object *o = &b->objects[i];

		if (!o->handle)
			continue;
		ret = zb_look(b, o, &spans, &copied);
		if (ret)
			return ret;
		zb_note_span(o, spans, copied, ref);
		cond_resched();
	}
	zb_print_spans(b);
	return 0;
}

static int zb_read(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		const struct zb_object *o = &b->objects[b->order[i]];
		unsigned long handle = o->handle;
		size_t size = o->size;
		void *address;

		address = zs_obj_read_begin(b->pool, handle, size, b->page);
		OPTIMIZER_HIDE_VAR(address);
		zs_obj_read_end(b->pool, handle, size, address);
	}
	return 0;
}

static int zb_sg(struct zb_bench *b, u32 from, u32 to)
{
	struct scatterlist sg[2];
	u32 i;

	for (i = from; i < to; i++) {
		const struct zb_object *o = &b->objects[b->order[i]];
		unsigned long handle = o->handle;

		zs_obj_read_sg_begin(b->pool, handle, sg, o->size);
		zs_obj_read_sg_end(b->pool, handle);
	}
	return 0;
}

/* The loop of both without the calls. */
static int zb_read_loop(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		const struct zb_object *o = &b->objects[b->order[i]];

		zb_use(o->handle);
		zb_use(o->size);
	}
	return 0;
}

/* Fails if an object is not read any more as "classify" has seen it. */
static int zb_check_spans(struct zb_bench *b, u32 rounds, u32 *copied, u32 *lent)
{
	u32 i;
	int ret;

	*copied = *lent = 0;
	for (i = 0; i < rounds; i++) {
		const struct zb_object *o = &b->objects[b->order[i]];
		bool spans, is_copied;

		ret = zb_look(b, o, &spans, &is_copied);
		if (ret)
			return ret;
		if (spans != !!(o->span & ZB_SPANS) || is_copied != !!(o->span & ZB_COPIED))
			return -ESTALE;
		*copied += is_copied;
		*lent += spans && !is_copied;
		cond_resched();
	}
	return 0;
}

/*
 * read n=ROUNDS set=SET seed=S [lap=N]: begins and ends reads of random objects.
 * Prints how many of the rounds had their object copied, and how many were lent
 * one that crosses a page boundary.
 */
int zb_cmd_read(struct zb_bench *b, const char *args)
{
	u32 rounds, copied, lent;
	int ret;

	ret = zb_select(b, args, 0, &rounds) ?: zb_check_spans(b, rounds, &copied, &lent) ?:
	      zb_time(b, args, zb_read, zb_read_loop, rounds) ?:
	      zb_check_spans(b, rounds, &copied, &lent);
	if (!ret)
		seq_buf_printf(&b->out, "copied=%u lent=%u\n", copied, lent);
	return ret;
}

/* Fails if the scatterlist of an object is not the object. */
static int zb_check_sg(struct zb_bench *b, u32 rounds, u32 *two)
{
	struct scatterlist sg[2];
	u32 i;

	*two = 0;
	for (i = 0; i < rounds; i++) {
		const struct zb_object *o = &b->objects[b->order[i]];
		bool good;
		int n;

		/* An allocator that does nothing must not pass. */
		memset(b->page, 0, sizeof(b->page));
		sg_init_table(sg, ARRAY_SIZE(sg));
		zs_obj_read_sg_begin(b->pool, o->handle, sg, o->size);
		n = sg_nents(sg);
		good = sg_copy_to_buffer(sg, n, b->page, PAGE_SIZE) == o->size &&
		       zb_has_content(b->page, b->order[i], o->size);
		zs_obj_read_sg_end(b->pool, o->handle);
		if (!good)
			return -EIO;
		*two += n == 2;
		cond_resched();
	}
	return 0;
}

/*
 * sg n=ROUNDS set=SET seed=S [lap=N]: begins and ends reads of random objects by
 * a scatterlist, as zswap does. Prints how many of them had two entries. The
 * objects have their contents from "write".
 */
int zb_cmd_sg(struct zb_bench *b, const char *args)
{
	u32 rounds, two;
	int ret;

	ret = zb_select(b, args, 0, &rounds) ?: zb_check_sg(b, rounds, &two) ?:
	      zb_time(b, args, zb_sg, zb_read_loop, rounds);
	if (!ret)
		seq_buf_printf(&b->out, "two=%u\n", two);
	return ret;
}

/* The number of bytes is in ->write_len, their content in ->page. */
static int zb_obj_write(struct zb_bench *b, u32 from, u32 to)
{
	size_t len = b->write_len;
	u32 i;

	for (i = from; i < to; i++)
		zs_obj_write(b->pool, b->objects[b->order[i]].handle, b->page, len);
	return 0;
}

/* Fails if an object does not have the @len bytes of content number @seed. */
static int zb_check_written(struct zb_bench *b, u32 rounds, u64 seed, u16 len)
{
	u32 i;

	for (i = 0; i < rounds; i++) {
		const struct zb_object *o = &b->objects[b->order[i]];
		void *from = zb_read_begin(b, o, b->page);
		bool good;

		if (!from)
			return -EIO;
		good = zb_has_content(from, seed, len);
		zb_read_end(b, o, from);
		if (!good)
			return -EIO;
		cond_resched();
	}
	return 0;
}

/*
 * obj_write n=ROUNDS set=SET seed=S len=LEN [lap=N]: writes the first LEN bytes
 * of random objects that have as many. The old contents are lost.
 */
int zb_cmd_obj_write(struct zb_bench *b, const char *args)
{
	u64 seed = zb_arg(args, "seed", 1), len = zb_arg(args, "len", 0);
	u32 rounds;
	int ret;

	if (!len || len > PAGE_SIZE)
		return -EINVAL;
	ret = zb_select(b, args, len, &rounds);
	if (ret)
		return ret;
	b->write_len = len;
	zb_put_content(b->page, seed, len);
	return zb_time(b, args, zb_obj_write, zb_handle_loop, rounds) ?:
	       zb_check_written(b, rounds, seed, len);
}
