// SPDX-License-Identifier: GPL-2.0
/*
 * rust/helpers refers to vrealloc(), which is not exported. No code of ours
 * calls that helper. An undefined weak symbol would do on x86-64. On arm64 a
 * call of it is too far for a PLT entry, and the kernel stops with a BUG.
 */
#include <linux/bug.h>
#include <linux/types.h>

void *zs_no_vrealloc(const void *p, size_t size, gfp_t flags);

void *zs_no_vrealloc(const void *p, size_t size, gfp_t flags)
{
	WARN_ONCE(1, "vrealloc() is not exported");
	return NULL;
}
