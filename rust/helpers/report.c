// SPDX-License-Identifier: GPL-2.0

#include <linux/bug.h>
#include <linux/ratelimit.h>

void zs_helper_warn_handle(const char *pool, unsigned long handle,
			   const char *call, int call_len,
			   const char *reason, int reason_len)
{
	WARN_RATELIMIT(1, "zsmalloc_rs: pool %s: handle 0x%lx in %.*s() %.*s\n",
		       pool, handle, call_len, call, reason_len, reason);
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
