// SPDX-License-Identifier: GPL-2.0
/* The zpool type zsmalloc, where the kernel has zpool (until 6.17). */

#include <linux/kconfig.h>

#include "zpool.h"

#if IS_ENABLED(CONFIG_ZPOOL)

#define ZS_ZPOOL_TYPE "zsmalloc"
#define ZS(name) zs_##name
#define ZS_MALLOC(pool, size, gfp) zs_malloc(pool, size, gfp)
#include "../glue/zpool_driver.h"

void zs_dropin_zpool_init(void)
{
	zpool_register_driver(&zs_zpool_driver);
}

void zs_dropin_zpool_exit(void)
{
	zpool_unregister_driver(&zs_zpool_driver);
}

MODULE_ALIAS("zpool-zsmalloc");

#else

void zs_dropin_zpool_init(void)
{
}

void zs_dropin_zpool_exit(void)
{
}

#endif
