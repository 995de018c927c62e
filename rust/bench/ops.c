// SPDX-License-Identifier: GPL-2.0
/* The objects of a timed loop, and a pool in steady state. */

#include <linux/err.h>
#include <linux/minmax.h>

#include "access.h"
#include "timed.h"

/*
 * Notes how an object was read: across a page boundary, and through a buffer.
 * With @ref, this is also kept as a reference, by which objects with the same
 * numbers can be selected in the next pool.
 */
void zb_note_span(struct zb_object *o, bool spans, bool copied, bool ref)
{
	o->span &= ~(ZB_SPANS | ZB_COPIED | (ref ? ZB_REF_SPANS : 0));
	o->span |= (spans ? ZB_SPANS : 0) | (copied ? ZB_COPIED : 0) |
		   (spans && ref ? ZB_REF_SPANS : 0);
}

void zb_print_spans(struct zb_bench *b)
{
	u32 i, spans = 0, ref_spans = 0, copied = 0;

	for (i = 0; i < b->nr; i++) {
		const struct zb_object *o = &b->objects[i];

		if (!o->handle)
			continue;
		spans += !!(o->span & ZB_SPANS);
		ref_spans += !!(o->span & ZB_REF_SPANS);
		copied += !!(o->span & ZB_COPIED);
	}
	seq_buf_printf(&b->out, "spans=%u copied=%u ref_spans=%u\n", spans, copied, ref_spans);
}

/*
 * The objects to use: set=all; in or span, by whether they span pages; of the
 * latter copied or lent; or by reference: ref_in or ref_span.
 */
static bool zb_in_set(const struct zb_object *o, const char *args)
{
	if (zb_arg_is(args, "set", "in"))
		return !(o->span & ZB_SPANS);
	if (zb_arg_is(args, "set", "span"))
		return o->span & ZB_SPANS;
	if (zb_arg_is(args, "set", "copied"))
		return o->span & ZB_COPIED;
	if (zb_arg_is(args, "set", "lent"))
		return (o->span & (ZB_SPANS | ZB_COPIED)) == ZB_SPANS;
	if (zb_arg_is(args, "set", "ref_in"))
		return !(o->span & ZB_REF_SPANS);
	if (zb_arg_is(args, "set", "ref_span"))
		return o->span & ZB_REF_SPANS;
	return true;
}

/*
 * Puts the objects of a set that have @min_size bytes or more into ->order, at
 * random, for n= rounds. Fails if there are none.
 */
int zb_select(struct zb_bench *b, const char *args, u32 min_size, u32 *rounds)
{
	u32 i, n;
	struct zb_random r;
	int ret;

	*rounds = zb_arg(args, "n", 0);
	if (!b->pool || !*rounds)
		return -EINVAL;
	ret = zb_order_resize(b, max(*rounds, b->nr));
	if (ret)
		return ret;
	n = zb_list_live(b);
	for (i = 0; i < n;) {
		const struct zb_object *o = &b->objects[b->order[i]];

		if (o->size >= min_size && zb_in_set(o, args))
			i++;
		else
			b->order[i] = b->order[--n];
	}
	if (!n)
		return -ENOENT;
	/* Uses each object about equally often, in random order. */
	for (i = n; i < *rounds; i++)
		b->order[i] = b->order[i - n];
	zb_seed(&r, zb_arg(args, "seed", 1));
	zb_shuffle(&r, b->order, max(n, *rounds));
	seq_buf_printf(&b->out, "objects=%u ", n);
	return 0;
}

static int zb_churn(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		struct zb_object *o = &b->objects[b->order[i]];

		zs_free(b->pool, o->handle);
		o->size = b->new_sizes[i];
		o->handle = zb_malloc(b, o->size);
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
