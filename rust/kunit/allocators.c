// SPDX-License-Identifier: GPL-2.0
/* The allocators under test, and the choice between them through sysfs. */

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/string.h>

#include "kunit.h"

#define ZS_CHAIN_SIZE "/sys/module/zsmalloc_rs/parameters/chain_size"

const enum zs_allocator zs_allocators[ZS_NR_ALLOCATORS] = { ZS_RUST, ZS_C };

static const char * const zs_allocator_names[] = {
	[ZS_RUST] = "rust",
	[ZS_C] = "c",
};

/* A case runs in a thread of the kernel, which in newer ones sees no file system. */
static struct file *zs_open(const char *path, int flags)
{
	struct file *file;

#ifdef ZS_HAVE_INIT_FS
	scoped_with_init_fs()
#endif
		file = filp_open(path, flags, 0);
	return file;
}

int zs_write_file(const char *path, const char *text)
{
	struct file *file = zs_open(path, O_WRONLY);
	loff_t pos = 0;
	ssize_t written;

	if (IS_ERR(file))
		return PTR_ERR(file);
	written = kernel_write(file, text, strlen(text), &pos);
	filp_close(file, NULL);
	return written < 0 ? written : 0;
}

int zs_allocator_choose(enum zs_allocator allocator)
{
	/* The drop-in's parameter, or the takeover's. */
	static const char * const backends[] = {
		"/sys/module/zsmalloc/parameters/backend",
		"/sys/module/zsmalloc_takeover/parameters/backend",
	};
	int i, err = -ENOENT;

	for (i = 0; i < ARRAY_SIZE(backends) && err == -ENOENT; i++)
		err = zs_write_file(backends[i], zs_allocator_names[allocator]);
	/* The kernel's own zsmalloc has no such parameter. */
	return err == -ENOENT && allocator == ZS_C ? 0 : err;
}

bool zs_allocator_exists(enum zs_allocator allocator)
{
	bool exists = !zs_allocator_choose(allocator);

	zs_allocator_choose(ZS_RUST);
	return exists;
}

/* Returns the value of a parameter, or @otherwise. */
static unsigned int zs_read_uint(const char *path, unsigned int otherwise)
{
	struct file *file = zs_open(path, O_RDONLY);
	unsigned int value = otherwise;
	char text[16] = {};
	loff_t pos = 0;

	if (IS_ERR(file))
		return otherwise;
	if (kernel_read(file, text, sizeof(text) - 1, &pos) > 0 &&
	    kstrtouint(strim(text), 10, &value))
		value = otherwise;
	filp_close(file, NULL);
	return value;
}

unsigned int zs_chain_size(enum zs_allocator allocator)
{
#ifdef CONFIG_ZSMALLOC_CHAIN_SIZE
	unsigned int chain = CONFIG_ZSMALLOC_CHAIN_SIZE;
#else
	unsigned int chain = 8;
#endif

	return allocator == ZS_RUST ? zs_read_uint(ZS_CHAIN_SIZE, 0) : chain;
}

static int zs_write_uint(const char *path, unsigned int value)
{
	char text[12];

	snprintf(text, sizeof(text), "%u", value);
	return zs_write_file(path, text);
}

int zs_chain_size_set(unsigned int pages)
{
	return zs_write_uint(ZS_CHAIN_SIZE, pages);
}

static const void *zs_next_allocator(const void *prev, char *desc)
{
	enum zs_allocator next = prev ? *(const enum zs_allocator *)prev + 1 : 0;

	for (; next < ZS_NR_ALLOCATORS; next++) {
		if (zs_allocator_exists(next)) {
			strscpy(desc, zs_allocator_names[next],
				KUNIT_PARAM_DESC_SIZE);
			return &zs_allocators[next];
		}
	}
	return NULL;
}

ZS_GENERATOR(allocators)
{
	return zs_next_allocator(prev, desc);
}

ZS_GENERATOR(rust)
{
	const void *first = prev ? NULL : zs_next_allocator(NULL, desc);

	return first == &zs_allocators[ZS_RUST] ? first : NULL;
}
