/* SPDX-License-Identifier: GPL-2.0 */
#ifndef ZS_DROPIN_ZPOOL_H
#define ZS_DROPIN_ZPOOL_H

/* The zpool type zsmalloc; nothing where the kernel has no zpool. */
void zs_dropin_zpool_init(void);
void zs_dropin_zpool_exit(void);

#endif /* ZS_DROPIN_ZPOOL_H */
