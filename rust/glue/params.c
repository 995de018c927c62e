// SPDX-License-Identifier: GPL-2.0
/* Module parameters, which the module! macro of 6.12 does not support. */

#include <linux/moduleparam.h>

#include "glue.h"

static unsigned int chain_size = ZS_CHAIN_DEFAULT;

static int zs_chain_size_set(const char *value, const struct kernel_param *kp)
{
	return param_set_uint_minmax(value, kp, ZS_CHAIN_MIN, ZS_CHAIN_MAX);
}

static const struct kernel_param_ops zs_chain_size_ops = {
	.set = zs_chain_size_set,
	.get = param_get_uint,
};

module_param_cb(chain_size, &zs_chain_size_ops, &chain_size, 0644);
__MODULE_PARM_TYPE(chain_size, "uint");
MODULE_PARM_DESC(chain_size,
		 "Maximum number of pages in a zspage, 4 to 16, for pools created from now on");

unsigned int zs_glue_chain_limit(void)
{
	return READ_ONCE(chain_size);
}

static unsigned int compaction_proactiveness = ZS_PROACTIVENESS_DEFAULT;

static int zs_proactiveness_set(const char *value, const struct kernel_param *kp)
{
	return param_set_uint_minmax(value, kp, 0, 100);
}

static const struct kernel_param_ops zs_proactiveness_ops = {
	.set = zs_proactiveness_set,
	.get = param_get_uint,
};

module_param_cb(compaction_proactiveness, &zs_proactiveness_ops,
		&compaction_proactiveness, 0644);
__MODULE_PARM_TYPE(compaction_proactiveness, "uint");
MODULE_PARM_DESC(compaction_proactiveness,
		 "How readily pools are compacted in the background, 0 (never) to 100");

unsigned int zs_glue_compaction_proactiveness(void)
{
	return READ_ONCE(compaction_proactiveness);
}
