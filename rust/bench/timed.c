// SPDX-License-Identifier: GPL-2.0
/*
 * Timed loops. If the unit is instructions, the loop runs in one piece. If the
 * unit is time, it runs in laps shorter than a time slice of the host, and the
 * median lap does not include the time of other tasks.
 */

#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sort.h>

#include "timed.h"

static int zb_compare_u64(const void *a, const void *b)
{
	u64 x = *(u64 *)a, y = *(u64 *)b;

	return x < y ? -1 : x > y;
}

/* Returns the time of all rounds and of the median lap. */
static int zb_time_laps(struct zb_bench *b, zb_loop run, u32 rounds, u32 lap, u64 *laps, u64 *ns,
			u64 *lap_ns)
{
	u32 i, n = 0;
	int ret;

	*ns = 0;
	for (i = 0; i < rounds; i += lap) {
		u32 end = min(rounds, i + lap);
		u64 begin = ktime_get_ns();

		ret = run(b, i, end);
		laps[n] = ktime_get_ns() - begin;
		if (ret)
			return ret;
		*ns += laps[n];
		/* A shorter last lap does not count. */
		n += end - i == lap;
	}
	sort(laps, n, sizeof(*laps), zb_compare_u64, NULL);
	*lap_ns = n ? laps[n / 2] : 0;
	return 0;
}

/*
 * Times @run, and @loop, which is @run without the measured call. With argument
 * lap=N, in laps of N rounds.
 */
int zb_time(struct zb_bench *b, const char *args, zb_loop run, zb_loop loop, u32 rounds)
{
	u32 lap = zb_arg(args, "lap", 0) ?: max(rounds, 1U);
	u64 ns, loop_ns, lap_ns, lap_loop_ns;
	u64 *laps;
	int ret;

	laps = kvcalloc(rounds / lap + 1, sizeof(*laps), GFP_KERNEL);
	if (!laps)
		return -ENOMEM;
	ret = zb_time_laps(b, loop, rounds, lap, laps, &loop_ns, &lap_loop_ns) ?:
	      zb_time_laps(b, run, rounds, lap, laps, &ns, &lap_ns);
	if (!ret) {
		seq_buf_printf(&b->out, "ops=%u ns=%llu loop_ns=%llu ", rounds, ns, loop_ns);
		seq_buf_printf(&b->out, "lap=%u lap_ns=%llu lap_loop_ns=%llu\n", lap, lap_ns,
			       lap_loop_ns);
	}
	kvfree(laps);
	return ret;
}

int zb_handle_loop(struct zb_bench *b, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++)
		zb_use(b->objects[b->order[i]].handle);
	return 0;
}
