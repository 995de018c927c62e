/* SPDX-License-Identifier: GPL-2.0 */
#ifndef ZS_DROPIN_MOVABLE_H
#define ZS_DROPIN_MOVABLE_H

/*
 * Migration of pages of both allocators, where the kernel has one set of
 * operations for all of zsmalloc; nothing where each page names its own.
 */
int zs_dropin_movable_init(void);
void zs_dropin_movable_exit(void);

#endif /* ZS_DROPIN_MOVABLE_H */
