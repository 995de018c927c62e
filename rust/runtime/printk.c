// SPDX-License-Identifier: GPL-2.0
/*
 * printk() for the Rust code of this module. pr_err!() and a panic pass what
 * they print as %pA, which only a kernel with CONFIG_RUST knows; and the layout
 * of the argument is that of one compiler.
 */

#include <linux/minmax.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "printk.h"

int __wrap__printk(const char *fmt, ...)
{
	char line[512], *last = line + sizeof(line) - 1, *end;
	const char *module = NULL;
	va_list args;
	int ret;

	va_start(args, fmt);
	if (!strstr(fmt, "%pA")) {
		ret = vprintk(fmt, args);
	} else {
		/* The level, two bytes; "%s: ", but to go on in a line; "%pA". */
		if (strstr(fmt, "%s"))
			module = va_arg(args, const char *);
		end = rust_fmt_argument(line, last, va_arg(args, void *));
		*min(end, last) = '\0';
		if (module)
			ret = __real__printk("%.2s%s: %s", fmt, module, line);
		else
			ret = __real__printk("%.2s%s", fmt, line);
	}
	va_end(args);
	return ret;
}
