// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that have to be refused, for kernels without KUnit. Each has to cause
 * one warning, which scripts/guest/tests/85-stress.sh counts, and to change
 * nothing. C trusts its callers, so this is for ours only.
 */

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>

#include "pages.h"
#include "stress.h"

#define ZS_POOL "stress-bad"
#define ZS_OBJECTS 64
#define ZS_SIZE 1100
#define ZS_GAPS 512

/* For scripts/check-dmesg, and for the test. Warnings are rate-limited. */
#define ZS_BAD(handle, name, call)					\
do {									\
	if (calls++ % DEFAULT_RATELIMIT_BURST == 0)			\
		msleep(1000 * (DEFAULT_RATELIMIT_INTERVAL / HZ + 1));	\
	pr_info("zs-test: expect-begin pool " ZS_POOL			\
		": handle 0x%lx in %s\\(\\)\n", handle, name);		\
	call;								\
	pr_info("zs-test: expect-end\n");				\
} while (0)

static int zs_find_torn(struct zs_pool *pool, struct zs_object *objects)
{
	struct zs_read read;
	bool torn;
	int i;

	for (i = 0; i < ZS_OBJECTS; i++) {
		if (!zs_read_begin(&read, pool, &objects[i], false))
			return -EIO;
		torn = read.lending == ZS_COPIED;
		zs_read_end(&read);
		if (torn)
			return i;
	}
	return -ENODATA;
}

/* Returns the number of calls that had to be refused, or an error. */
static int zs_bad_calls(struct zs_pool *pool, struct zs_object *objects,
			void *buffer)
{
	unsigned long torn, freed = objects[0].handle;
	struct scatterlist sg[2];
	int calls = 0, i;
	void *bytes;

	i = zs_find_torn(pool, objects);
	if (i < 0)
		return i;
	torn = objects[i].handle;

	bytes = buffer;
	ZS_BAD(torn, "zs_obj_read_begin",
	       bytes = zs_obj_read_begin(pool, torn, 0, buffer));
	if (bytes)
		return -EIO;
	bytes = buffer;
	ZS_BAD(torn, "zs_obj_read_begin",
	       bytes = zs_obj_read_begin(pool, torn, PAGE_SIZE, buffer));
	if (bytes)
		return -EIO;
	bytes = buffer;
	ZS_BAD(torn, "zs_obj_read_begin",
	       bytes = zs_obj_read_begin(pool, torn, ZS_SIZE, NULL));
	if (bytes)
		return -EIO;
	ZS_BAD(torn, "zs_obj_read_sg_begin",
	       zs_obj_read_sg_begin(pool, torn, sg, 0));
	ZS_BAD(torn, "zs_obj_read_sg_begin",
	       zs_obj_read_sg_begin(pool, torn, sg, PAGE_SIZE));
	ZS_BAD(torn, "zs_obj_write", zs_obj_write(pool, torn, buffer, 0));
	ZS_BAD(torn, "zs_obj_write",
	       zs_obj_write(pool, torn, buffer, PAGE_SIZE));
	/* None of these left a reader. */
	ZS_BAD(torn, "zs_obj_read_end",
	       zs_obj_read_end(pool, torn, ZS_SIZE, buffer));
	ZS_BAD(torn, "zs_obj_read_sg_end", zs_obj_read_sg_end(pool, torn));

	bytes = zs_obj_read_begin(pool, torn, ZS_SIZE, buffer);
	if (!bytes)
		return -EIO;
	ZS_BAD(torn, "zs_free", zs_free(pool, torn));
	zs_obj_read_end(pool, torn, ZS_SIZE, bytes);

	zs_object_free(pool, &objects[0]);
	bytes = buffer;
	ZS_BAD(freed, "zs_obj_read_begin",
	       bytes = zs_obj_read_begin(pool, freed, ZS_SIZE, buffer));
	if (bytes)
		return -EIO;
	ZS_BAD(freed, "zs_obj_read_sg_begin",
	       zs_obj_read_sg_begin(pool, freed, sg, ZS_SIZE));
	ZS_BAD(freed, "zs_obj_write",
	       zs_obj_write(pool, freed, buffer, ZS_SIZE));
	ZS_BAD(freed, "zs_obj_read_end",
	       zs_obj_read_end(pool, freed, ZS_SIZE, buffer));
	ZS_BAD(freed, "zs_obj_read_sg_end", zs_obj_read_sg_end(pool, freed));
	ZS_BAD(freed, "zs_free", zs_free(pool, freed));
	return calls;
}

int zs_stress_bad(void)
{
	struct zs_object *objects = kcalloc(ZS_OBJECTS, sizeof(*objects),
					    GFP_KERNEL);
	void *buffer = kzalloc(PAGE_SIZE, GFP_KERNEL);
	struct page **gaps = kcalloc(ZS_GAPS, sizeof(*gaps), GFP_KERNEL);
	struct zs_pool *pool = zs_create_pool(ZS_POOL);
	int i, err = objects && buffer && gaps && pool ? 0 : -ENOMEM;

	if (!err)
		zs_gaps_make(gaps, ZS_GAPS, ZS_TEST_GFP);
	for (i = 0; !err && i < ZS_OBJECTS; i++)
		err = zs_object_new(pool, &objects[i], ZS_SIZE, i);
	if (!err)
		err = zs_bad_calls(pool, objects, buffer);
	if (err > 0) {
		pr_info("zsmalloc_stress: bad: %d calls\n", err);
		err = 0;
	}
	for (i = 0; pool && objects && i < ZS_OBJECTS; i++) {
		if (!objects[i].handle)
			continue;
		if (!zs_object_ok(pool, &objects[i]))
			err = -EIO;
		zs_object_free(pool, &objects[i]);
	}
	if (!err && zs_get_total_pages(pool))
		err = -EIO;
	if (pool)
		zs_destroy_pool(pool);
	if (gaps)
		zs_gaps_end(gaps, ZS_GAPS);
	kfree(gaps);
	kfree(buffer);
	kfree(objects);
	return err;
}
