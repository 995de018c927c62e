// SPDX-License-Identifier: GPL-2.0
/* Reads the kernel log, and expects warnings. */

#include <linux/delay.h>
#include <linux/kmsg_dump.h>
#include <linux/ratelimit.h>
#include <linux/string.h>

#include "kunit.h"

u64 zs_log_end(void)
{
	struct kmsg_dump_iter iter;

	kmsg_dump_rewind(&iter);
	return iter.next_seq;
}

unsigned int zs_log_count(u64 begin, u64 end, const char *text)
{
	struct kmsg_dump_iter iter = { .cur_seq = begin, .next_seq = end };
	unsigned int n = 0;
	char line[256];
	size_t len;

	while (iter.cur_seq < end &&
	       kmsg_dump_get_line(&iter, false, line, sizeof(line), &len)) {
		/* The last line may come from a record after the end. */
		if (iter.cur_seq <= end && strnstr(line, text, len))
			n++;
	}
	return n;
}

/* The state of WARN_RATELIMIT(). */
static unsigned int zs_warnings_left;
static unsigned long zs_warnings_last;

void zs_warnings_reserve(unsigned int count)
{
	if (zs_warnings_left < count) {
		while (zs_warnings_last &&
		       time_before(jiffies, zs_warnings_last +
				   DEFAULT_RATELIMIT_INTERVAL + HZ / 2))
			msleep(50);
		zs_warnings_left = DEFAULT_RATELIMIT_BURST;
	}
	zs_warnings_left -= count;
	zs_warnings_last = jiffies;
}

void zs_warning_begin(struct zs_warning *warning, const char *pool,
		      unsigned long handle)
{
	warning->pool = pool;
	warning->handle = handle;
	/* For scripts/check-dmesg. */
	pr_info("zs-test: expect-begin pool %s: handle 0x%lx\\b\n", pool, handle);
	warning->begin = zs_log_end();
}

void zs_warning_end(struct zs_warning *warning)
{
	warning->end = zs_log_end();
	/* A slow kernel may print long after the reservation. */
	zs_warnings_last = jiffies;
	pr_info("zs-test: expect-end\n");
}

void zs_warning_expect(struct kunit *test, const struct zs_warning *warning,
		       const char *what)
{
	char text[80];

	snprintf(text, sizeof(text), "pool %s: handle 0x%lx ", warning->pool,
		 warning->handle);
	KUNIT_EXPECT_EQ_MSG(test, 1,
			    zs_log_count(warning->begin, warning->end, text),
			    "%s: '%s' in the kernel log", what, text);
	KUNIT_EXPECT_EQ_MSG(test, 1,
			    zs_log_count(warning->begin, warning->end,
					 "WARNING: "),
			    "%s: warnings in the kernel log", what);
}
