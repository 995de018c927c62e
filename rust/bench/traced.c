// SPDX-License-Identifier: GPL-2.0
/*
 * The least that a compaction has to move.
 *
 * In a pool that nothing was freed in, the objects of a class lie one after the
 * other: a zspage is begun when the last one is full. So its number in the class
 * says where an object is, once the shapes of zspages are known. What mapping the
 * objects shows, and how many pages there are, must agree with that.
 */

#include <linux/bitmap.h>
#include <linux/err.h>
#include <linux/math.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "traced.h"

/* As the pool's debugfs table has it. */
static struct zb_shape {
	u32 size;
	u32 pages;
	u32 objs;
} zb_shapes[ZB_MAX_CLASSES];

/* Lines "class size pages-per-zspage", of all classes. */
int zb_shapes_parse(char *text)
{
	unsigned int class, size, pages;
	char *line;

	memset(zb_shapes, 0, sizeof(zb_shapes));
	while ((line = strsep(&text, "\n"))) {
		if (!*line)
			continue;
		if (sscanf(line, "%u %u %u", &class, &size, &pages) != 3 ||
		    class >= ZB_MAX_CLASSES || !size || size > PAGE_SIZE || !pages)
			return -EINVAL;
		zb_shapes[class].size = size;
		zb_shapes[class].pages = pages;
		zb_shapes[class].objs = pages * PAGE_SIZE / size;
	}
	return 0;
}

/* Pages that the slots from @first to before @end of a zspage touch. */
static u32 zb_pages_touched(const struct zb_shape *shape, u32 first, u32 end)
{
	return DIV_ROUND_UP(end * shape->size, PAGE_SIZE) - first * shape->size / PAGE_SIZE;
}

/*
 * Whether an object is mapped where it has to be. Says nothing of one that is copied.
 * In front of each is its handle or nothing, if it does not take all of a page; the
 * first one says what, in @front, -1 before.
 */
static bool zb_is_in_place(struct zb_bench *b, const struct zb_object *o, int *front)
{
	const struct zb_shape *shape = &zb_shapes[zb_class(b, o->size)];
	u32 start = o->zspage % shape->objs * shape->size;
	unsigned long address;

	address = (unsigned long)zs_map_object(b->pool, o->handle, ZS_MM_RO);
	zs_unmap_object(b->pool, o->handle);
	if (shape->size == PAGE_SIZE)
		return !offset_in_page(address);
	if (start / PAGE_SIZE != (start + shape->size - 1) / PAGE_SIZE)
		return true;
	if (*front < 0)
		*front = offset_in_page(address - start) ? sizeof(unsigned long) : 0;
	return offset_in_page(address) == offset_in_page(start + *front);
}

/*
 * As "fill", untimed; object->zspage is the number of an object in its class.
 * Fails if the pool does something else than what is said above.
 */
int zb_fill_traced(struct zb_bench *b)
{
	u32 i, class, whole = 0, touched = 0;
	int front = -1;
	u32 *seen;

	seen = kcalloc(ZB_MAX_CLASSES, sizeof(*seen), GFP_KERNEL);
	if (!seen)
		return -ENOMEM;
	for (i = 0; i < b->nr; i++) {
		struct zb_object *o = &b->objects[i];

		o->zspage = seen[zb_class(b, o->size)]++;
		o->handle = zs_malloc(b->pool, o->size, ZB_GFP);
		if (IS_ERR_VALUE(o->handle)) {
			o->handle = 0;
			kfree(seen);
			return -ENOMEM;
		}
		if (!zb_shapes[zb_class(b, o->size)].objs || !zb_is_in_place(b, o, &front)) {
			kfree(seen);
			return -ERANGE;
		}
		cond_resched();
	}
	for (class = 0; class < ZB_MAX_CLASSES; class++) {
		const struct zb_shape *shape = &zb_shapes[class];

		if (!seen[class])
			continue;
		whole += DIV_ROUND_UP(seen[class], shape->objs) * shape->pages;
		touched += seen[class] / shape->objs * shape->pages +
			   zb_pages_touched(shape, 0, seen[class] % shape->objs);
	}
	kfree(seen);
	/* Whole zspages, or only pages that something is on. */
	if (zs_get_total_pages(b->pool) != whole && zs_get_total_pages(b->pool) != touched)
		return -ERANGE;
	b->is_traced = true;
	return 0;
}

static int zb_compare_down(const void *a, const void *b)
{
	u32 x = *(u32 *)a, y = *(u32 *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* Of the objects of one class: which are there, and in which zspages. */
struct zb_class_objects {
	const struct zb_shape *shape;
	unsigned long *live;	/* by number */
	u32 nr;			/* numbers there were */
	u32 objects;
	u32 zspages;
	u32 *inuse;		/* of each zspage, the fullest first */
};

static u32 zb_live_in(const struct zb_class_objects *c, u32 first, u32 end)
{
	u32 i, n = 0;

	for (i = first; i < min(end, c->nr); i++)
		n += test_bit(i, c->live);
	return n;
}

/* Pages that something is on. */
static u32 zb_pages_in_use(const struct zb_class_objects *c)
{
	u32 page, zspage, pages = 0;

	for (zspage = 0; zspage < c->zspages; zspage++) {
		u32 first = zspage * c->shape->objs;

		for (page = 0; page < c->shape->pages; page++) {
			u32 from = page * PAGE_SIZE / c->shape->size;
			u32 to = DIV_ROUND_UP((page + 1) * PAGE_SIZE, c->shape->size);

			pages += !!zb_live_in(c, first + from,
					      first + min(to, c->shape->objs));
		}
	}
	return pages;
}

/*
 * The most objects of a zspage that can stay where they are if it is the one that
 * is left with @rest objects, on as few pages as those need.
 */
static u32 zb_staying(const struct zb_class_objects *c, u32 zspage, u32 rest)
{
	u32 pages = zb_pages_touched(c->shape, 0, rest), page, most = 0;

	for (page = 0; page + pages <= c->shape->pages; page++) {
		u32 first = DIV_ROUND_UP(page * PAGE_SIZE, c->shape->size);
		u32 end = min_t(u32, (page + pages) * PAGE_SIZE / c->shape->size,
				c->shape->objs);

		if (end - first >= rest)
			most = max(most, zb_live_in(c, zspage * c->shape->objs + first,
						    zspage * c->shape->objs + end));
	}
	return min(most, rest);
}

/*
 * The fewest moves that leave a class on as few pages as its objects need: as many
 * full zspages as there can be, and a part of one more.
 */
static u32 zb_moves_by_page(const struct zb_class_objects *c)
{
	u32 full = c->objects / c->shape->objs, rest = c->objects % c->shape->objs;
	u32 zspage, in_full = 0, stay = 0;

	for (zspage = 0; zspage < full; zspage++)
		in_full += c->inuse[zspage];
	if (!rest)
		return c->objects - in_full;
	for (zspage = 0; zspage < c->zspages; zspage++) {
		u32 first = zspage * c->shape->objs;
		u32 inuse = zb_live_in(c, first, first + c->shape->objs);
		u32 others = in_full;

		/* One of the fullest itself: the next one takes its place. */
		if (full && inuse >= c->inuse[full - 1])
			others += c->inuse[full] - inuse;
		stay = max(stay, others + zb_staying(c, zspage, rest));
	}
	return c->objects - stay;
}

/* The fewest moves that leave a class in as few zspages as its objects need. */
static u32 zb_moves_by_zspage(const struct zb_class_objects *c)
{
	u32 zspage, stay = 0;

	for (zspage = 0; zspage < DIV_ROUND_UP(c->objects, c->shape->objs); zspage++)
		stay += c->inuse[zspage];
	return c->objects - stay;
}

static int zb_class_objects(struct zb_bench *b, u32 class, struct zb_class_objects *c)
{
	u32 i;

	memset(c, 0, sizeof(*c));
	c->shape = &zb_shapes[class];
	for (i = 0; i < b->nr; i++)
		if (zb_class(b, b->objects[i].size) == class)
			c->nr = max(c->nr, b->objects[i].zspage + 1);
	if (!c->nr)
		return 0;
	c->zspages = DIV_ROUND_UP(c->nr, c->shape->objs);
	c->live = kvcalloc(BITS_TO_LONGS(c->nr), sizeof(*c->live), GFP_KERNEL);
	/* One more, which is empty. */
	c->inuse = kvcalloc(c->zspages + 1, sizeof(*c->inuse), GFP_KERNEL);
	if (!c->live || !c->inuse)
		return -ENOMEM;
	for (i = 0; i < b->nr; i++) {
		const struct zb_object *o = &b->objects[i];

		if (!o->handle || zb_class(b, o->size) != class)
			continue;
		__set_bit(o->zspage, c->live);
		c->inuse[o->zspage / c->shape->objs]++;
		c->objects++;
	}
	sort(c->inuse, c->zspages, sizeof(*c->inuse), zb_compare_down, NULL);
	return 0;
}

/*
 * minimum: after "fill trace=1" and "punch", the fewest pages that the objects need
 * and the fewest moves to that. Once for an allocator that gives back single
 * pages, once for one that gives back whole zspages.
 */
int zb_cmd_minimum(struct zb_bench *b, const char *args)
{
	u64 moves = 0, pages = 0, in_use = 0, zs_moves = 0, zs_pages = 0, zs_in_use = 0;
	struct zb_class_objects c;
	u32 class, i;
	int ret = 0;

	if (!b->pool || !b->is_traced)
		return -EINVAL;
	for (class = 0; !ret && class < ZB_MAX_CLASSES; class++) {
		if (!zb_shapes[class].objs)
			continue;
		ret = zb_class_objects(b, class, &c);
		if (!ret && c.objects) {
			pages += c.objects / c.shape->objs * c.shape->pages +
				 zb_pages_touched(c.shape, 0, c.objects % c.shape->objs);
			in_use += zb_pages_in_use(&c);
			moves += zb_moves_by_page(&c);
			zs_pages += DIV_ROUND_UP(c.objects, c.shape->objs) * c.shape->pages;
			for (i = 0; i < c.zspages; i++)
				zs_in_use += c.inuse[i] ? c.shape->pages : 0;
			zs_moves += zb_moves_by_zspage(&c);
		}
		kvfree(c.live);
		kvfree(c.inuse);
		cond_resched();
	}
	seq_buf_printf(&b->out, "moves=%llu pages=%llu in_use=%llu ", moves, pages, in_use);
	seq_buf_printf(&b->out, "zspage_moves=%llu zspage_pages=%llu zspage_in_use=%llu\n",
		       zs_moves, zs_pages, zs_in_use);
	return ret;
}
