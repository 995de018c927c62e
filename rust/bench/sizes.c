// SPDX-License-Identifier: GPL-2.0
/* A histogram of object sizes from user space, one "size count" per line. */

#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "bench.h"

static struct zb_sizes {
	u32 nr;
	u64 total;
	u16 size[PAGE_SIZE];
	u64 cumulated[PAGE_SIZE];	/* of this size and of those before it */
} *zb_sizes;

int zb_sizes_parse(char *text)
{
	struct zb_sizes *new;
	unsigned int size;
	u64 count;
	char *line;

	new = kvzalloc(sizeof(*new), GFP_KERNEL);
	if (!new)
		return -ENOMEM;
	while ((line = strsep(&text, "\n"))) {
		if (!*line || *line == '#')
			continue;
		if (sscanf(line, "%u %llu", &size, &count) != 2 || !size ||
		    size > PAGE_SIZE || new->nr == PAGE_SIZE) {
			kvfree(new);
			return -EINVAL;
		}
		new->total += count;
		new->size[new->nr] = size;
		new->cumulated[new->nr++] = new->total;
	}
	if (!new->total) {
		kvfree(new);
		return -EINVAL;
	}
	kvfree(zb_sizes);
	zb_sizes = new;
	return 0;
}

bool zb_sizes_known(void)
{
	return zb_sizes;
}

u16 zb_sizes_draw(struct zb_random *r)
{
	u64 at = zb_next(r) % zb_sizes->total;
	u32 low = 0, high = zb_sizes->nr - 1;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (zb_sizes->cumulated[middle] > at)
			high = middle;
		else
			low = middle + 1;
	}
	return zb_sizes->size[low];
}

void zb_sizes_exit(void)
{
	kvfree(zb_sizes);
}
