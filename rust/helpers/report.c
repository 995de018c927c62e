// SPDX-License-Identifier: GPL-2.0

#include <linux/bug.h>
#include <linux/ratelimit.h>

void zs_helper_warn_handle(const char *pool, unsigned long handle,
			   const char *reason, int len)
{
	WARN_RATELIMIT(1, "zsmalloc_rs: pool %s: handle 0x%lx %.*s\n", pool,
		       handle, len, reason);
}

void zs_helper_warn_forgotten(void)
{
	WARN_ONCE(1, "zsmalloc_rs: a zspage was neither put back nor released\n");
}

void zs_helper_warn_corrupt(void)
{
	WARN_ONCE(1, "zsmalloc_rs: a zspage has no free slot although its count says so\n");
}

void zs_helper_bug(void)
{
	BUG();
}
