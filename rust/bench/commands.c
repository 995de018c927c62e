// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs: zsmalloc_bench/sizes takes a histogram of sizes, zsmalloc_bench/run
 * takes a command. Reading run returns the results of the last command.
 */

#include <linux/debugfs.h>
#include <linux/minmax.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "smp.h"
#include "watched.h"

#define ZB_MAX_WRITE SZ_1M

static const struct {
	const char *name;
	int (*run)(struct zb_bench *b, const char *args);
} zb_commands[] = {
	{ "create", zb_cmd_create },
	{ "destroy", zb_cmd_destroy },
	{ "pools", zb_cmd_pools },
	{ "fill", zb_cmd_fill },
	{ "write", zb_cmd_write },
	{ "verify", zb_cmd_verify },
	{ "stat", zb_cmd_stat },
	{ "classify", zb_cmd_classify },
#ifdef ZS_HAVE_OBJ_READ
	{ "read", zb_cmd_read },
	{ "sg", zb_cmd_sg },
	{ "obj_write", zb_cmd_obj_write },
#else
	{ "map", zb_cmd_map },
#endif
	{ "churn", zb_cmd_churn },
	{ "room", zb_cmd_room },
	{ "refill", zb_cmd_refill },
	{ "punch", zb_cmd_punch },
	{ "compact", zb_cmd_compact },
	{ "mixed", zb_cmd_mixed },
	{ "waits", zb_cmd_waits },
	{ "watched", zb_cmd_watched },
};

static struct zb_bench zb_bench;
static char zb_text[SZ_16K];
static DEFINE_MUTEX(zb_mutex);
static struct dentry *zb_dir;

/* Returns the value of " key=", or NULL if it is missing. */
static const char *zb_value(const char *args, const char *key)
{
	size_t len = strlen(key);

	while ((args = strchr(args, ' '))) {
		args++;
		if (!strncmp(args, key, len) && args[len] == '=')
			return args + len + 1;
	}
	return NULL;
}

u64 zb_arg(const char *args, const char *key, u64 otherwise)
{
	const char *value = zb_value(args, key);
	char digits[24];
	u64 number;

	if (!value)
		return otherwise;
	strscpy(digits, value, min(strcspn(value, " ") + 1, sizeof(digits)));
	/* The value may be a word instead of a number. */
	return kstrtoull(digits, 0, &number) ? otherwise : number;
}

bool zb_arg_is(const char *args, const char *key, const char *value)
{
	const char *is = zb_value(args, key);
	size_t len = strlen(value);

	return is && !strncmp(is, value, len) && (!is[len] || is[len] == ' ');
}

static int zb_run(char *line)
{
	size_t len = strcspn(line, " ");
	int i;

	for (i = 0; i < ARRAY_SIZE(zb_commands); i++)
		if (strlen(zb_commands[i].name) == len &&
		    !strncmp(line, zb_commands[i].name, len))
			return zb_commands[i].run(&zb_bench, line + len);
	return -EINVAL;
}

/* Copies the whole write. */
static char *zb_copy(const char __user *from, size_t len)
{
	return len > ZB_MAX_WRITE ? ERR_PTR(-E2BIG) : memdup_user_nul(from, len);
}

static ssize_t zb_run_write(struct file *file, const char __user *from, size_t len, loff_t *at)
{
	char *line = zb_copy(from, len);
	int ret;

	if (IS_ERR(line))
		return PTR_ERR(line);
	mutex_lock(&zb_mutex);
	seq_buf_init(&zb_bench.out, zb_text, sizeof(zb_text));
	ret = zb_run(strim(line));
	mutex_unlock(&zb_mutex);
	kfree(line);
	return ret ?: len;
}

static ssize_t zb_run_read(struct file *file, char __user *to, size_t len, loff_t *at)
{
	ssize_t ret;

	mutex_lock(&zb_mutex);
	ret = simple_read_from_buffer(to, len, at, zb_text, seq_buf_used(&zb_bench.out));
	mutex_unlock(&zb_mutex);
	return ret;
}

static ssize_t zb_sizes_write(struct file *file, const char __user *from, size_t len, loff_t *at)
{
	char *text = zb_copy(from, len);
	int ret;

	if (IS_ERR(text))
		return PTR_ERR(text);
	mutex_lock(&zb_mutex);
	ret = zb_sizes_parse(text);
	mutex_unlock(&zb_mutex);
	kfree(text);
	return ret ?: len;
}

static const struct file_operations zb_run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = zb_run_read,
	.write = zb_run_write,
};

static const struct file_operations zb_sizes_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = zb_sizes_write,
};

static int __init zb_init(void)
{
	seq_buf_init(&zb_bench.out, zb_text, sizeof(zb_text));
	zb_dir = debugfs_create_dir("zsmalloc_bench", NULL);
	debugfs_create_file("run", 0600, zb_dir, NULL, &zb_run_fops);
	debugfs_create_file("sizes", 0200, zb_dir, NULL, &zb_sizes_fops);
	return 0;
}

static void __exit zb_exit(void)
{
	debugfs_remove(zb_dir);
	zb_cmd_destroy(&zb_bench, "");
	zb_cmd_pools(&zb_bench, "");
	vfree(zb_bench.objects);
	vfree(zb_bench.order);
	vfree(zb_bench.new_sizes);
	zb_sizes_exit();
}

module_init(zb_init);
module_exit(zb_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zsmalloc-rs developers");
MODULE_DESCRIPTION("Benchmark of the allocator behind <linux/zsmalloc.h>");
