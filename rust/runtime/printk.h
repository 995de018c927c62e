/* SPDX-License-Identifier: GPL-2.0 */
#ifndef ZS_PRINTK_H
#define ZS_PRINTK_H

#include <linux/compiler_attributes.h>

/* In the kernel's rust/kernel/print.rs. It may return more than @end. */
char *rust_fmt_argument(char *buf, char *end, void *arguments);

/* What the linker makes of _printk() in this module: see Kbuild. */
int __wrap__printk(const char *fmt, ...);

/* The kernel's own. */
__printf(1, 2) int __real__printk(const char *fmt, ...);

#endif /* ZS_PRINTK_H */
