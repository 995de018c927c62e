// SPDX-License-Identifier: GPL-2.0
/* The zpool driver zsmalloc_rs. Kernels up to 6.17 have zpool. */

#include <linux/kconfig.h>

#include "glue.h"

#if IS_ENABLED(CONFIG_ZPOOL)

#include "../include/zsmalloc_rs.h"

#define ZS_ZPOOL_TYPE "zsmalloc_rs"
#define ZS(name) zs_rs_##name
#define ZS_MALLOC(pool, size, gfp) zs_rs_malloc(pool, size, gfp, NUMA_NO_NODE)
#include "zpool_driver.h"

void zs_glue_zpool_init(void)
{
	zpool_register_driver(&zs_zpool_driver);
}

int zs_glue_zpool_exit(void)
{
	return zpool_unregister_driver(&zs_zpool_driver);
}

#else

void zs_glue_zpool_init(void)
{
}

int zs_glue_zpool_exit(void)
{
	return 0;
}

#endif
