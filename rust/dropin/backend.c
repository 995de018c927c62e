// SPDX-License-Identifier: GPL-2.0
/*
 * The parameter `backend`: which allocator new pools are of.
 *
 * ZS_BACKEND_HAS_C, from Kbuild, says that there is a C allocator to choose.
 */

#include <linux/moduleparam.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "backend.h"

static const char * const zs_backend_names[] = {
	[ZS_BACKEND_RUST] = "rust",
#ifdef ZS_BACKEND_HAS_C
	[ZS_BACKEND_C] = "c",
#endif
};

unsigned int zs_backend = ZS_BACKEND_RUST;

static int zs_backend_set(const char *value, const struct kernel_param *kp)
{
	int backend = __sysfs_match_string(zs_backend_names,
					   ARRAY_SIZE(zs_backend_names), value);

	if (backend < 0)
		return backend;
	WRITE_ONCE(zs_backend, backend);
	return 0;
}

static int zs_backend_get(char *buffer, const struct kernel_param *kp)
{
	int i, len = 0;

	for (i = 0; i < ARRAY_SIZE(zs_backend_names); i++)
		len += sysfs_emit_at(buffer, len,
				     i == READ_ONCE(zs_backend) ? "%s[%s]" : "%s%s",
				     i ? " " : "", zs_backend_names[i]);
	len += sysfs_emit_at(buffer, len, "\n");
	return len;
}

static const struct kernel_param_ops zs_backend_ops = {
	.set = zs_backend_set,
	.get = zs_backend_get,
};

module_param_cb(backend, &zs_backend_ops, NULL, 0644);
__MODULE_PARM_TYPE(backend, "charp");
MODULE_PARM_DESC(backend, "Allocator of pools created from now on: rust, or c where it was built");
