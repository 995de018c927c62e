// SPDX-License-Identifier: GPL-2.0
/* xorshift64*. The same seed yields the same numbers on every machine. */

#include <linux/minmax.h>

#include "bench.h"

void zb_seed(struct zb_random *r, u64 seed)
{
	int i;

	/* Seeds are small numbers. The state must not be zero. */
	r->state = (seed + 1) * 0x9e3779b97f4a7c15ULL;
	for (i = 0; i < 8; i++)
		zb_next(r);
}

u64 zb_next(struct zb_random *r)
{
	u64 x = r->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	r->state = x;
	return (x * 0x2545f4914f6cdd1dULL) >> 16;
}

void zb_shuffle(struct zb_random *r, u32 *what, u32 n)
{
	for (; n > 1; n--) {
		/* swap() evaluates its arguments more than once. */
		u32 other = zb_below(r, n);

		swap(what[n - 1], what[other]);
	}
}
