// SPDX-License-Identifier: GPL-2.0
/*
 * zsmalloc_histogram.ko: counts the sizes that pages compress to, with the
 * kernel's compressors and zram's parameters.
 *
 * Write pages to debugfs zsmalloc_histogram/pages. Opening the file resets the
 * counts, and takes the size of a page from zsmalloc_histogram/page_size: 4096,
 * or up to 65536, as other kernels have. zsmalloc_histogram/counts has a line
 * "SIZE COUNT..." for each size, with one count per compressor. A page that does
 * not compress counts with the size of a page. Pages filled with one repeated
 * word are counted separately, because zram does not store them.
 */

#include <linux/debugfs.h>
#include <linux/lz4.h>
#include <linux/log2.h>
#include <linux/lzo.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/zstd.h>

/* The largest page of any architecture that has zram. */
#define ZH_PAGE_MAX SZ_64K
/* A compressor may need more room than the size of its input. */
#define ZH_ROOM (2 * ZH_PAGE_MAX)

static DEFINE_MUTEX(zh_mutex);
static struct dentry *zh_dir;
static void *zh_lzo_memory;
static void *zh_lz4_memory;
static void *zh_zstd_memory;
static zstd_cctx *zh_zstd;
static zstd_parameters zh_zstd_parameters;
static void *zh_page;
static void *zh_out;
/* The size of a page, and what debugfs says for the next time. */
static u32 zh_page_size = PAGE_SIZE;
static u32 zh_next_page_size = PAGE_SIZE;

static size_t zh_lzo_rle(void)
{
	size_t len = ZH_ROOM;

	return lzorle1x_1_compress(zh_page, zh_page_size, zh_out, &len, zh_lzo_memory) ? 0 : len;
}

static size_t zh_lz4(void)
{
	return LZ4_compress_fast(zh_page, zh_out, zh_page_size, ZH_ROOM, LZ4_ACCELERATION_DEFAULT,
				 zh_lz4_memory);
}

static size_t zh_zstd_level_3(void)
{
	size_t len = zstd_compress_cctx(zh_zstd, zh_out, ZH_ROOM, zh_page, zh_page_size,
					&zh_zstd_parameters);

	return zstd_is_error(len) ? 0 : len;
}

static const struct {
	const char *name;
	size_t (*compress)(void);
} zh_compressors[] = {
	{ "lzo-rle", zh_lzo_rle },
	{ "lz4", zh_lz4 },
	{ "zstd", zh_zstd_level_3 },
};

static u32 (*zh_counts)[ARRAY_SIZE(zh_compressors)];
#define ZH_COUNTS_BYTES ((ZH_PAGE_MAX + 1) * sizeof(*zh_counts))
static u32 zh_same;

static bool zh_is_same(const unsigned long *page)
{
	return !memcmp(page, page + 1, zh_page_size - sizeof(*page));
}

static int zh_add_page(void)
{
	size_t len;
	int i;

	if (zh_is_same(zh_page)) {
		zh_same++;
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(zh_compressors); i++) {
		len = zh_compressors[i].compress();
		if (!len)
			return -EIO;
		zh_counts[min(len, zh_page_size)][i]++;
	}
	return 0;
}

/* Same as in zram's backend_zstd.c. */
static int zh_zstd_setup(void)
{
	size_t len;

	vfree(zh_zstd_memory);
	zh_zstd_parameters = zstd_get_params(zstd_default_clevel(), zh_page_size);
	len = zstd_cctx_workspace_bound(&zh_zstd_parameters.cParams);
	zh_zstd_memory = vzalloc(len);
	if (!zh_zstd_memory)
		return -ENOMEM;
	zh_zstd = zstd_init_cctx(zh_zstd_memory, len);
	return zh_zstd ? 0 : -EINVAL;
}

static int zh_pages_open(struct inode *inode, struct file *file)
{
	u32 size = READ_ONCE(zh_next_page_size);
	int ret;

	if (!is_power_of_2(size) || size < SZ_4K || size > ZH_PAGE_MAX)
		return -EINVAL;
	mutex_lock(&zh_mutex);
	memset(zh_counts, 0, ZH_COUNTS_BYTES);
	zh_same = 0;
	zh_page_size = size;
	ret = zh_zstd_setup();
	mutex_unlock(&zh_mutex);
	return ret;
}

static ssize_t zh_pages_write(struct file *file, const char __user *from, size_t len, loff_t *at)
{
	size_t done;
	int ret = 0;

	mutex_lock(&zh_mutex);
	if (len % zh_page_size)
		ret = -EINVAL;
	for (done = 0; !ret && done < len; done += zh_page_size) {
		if (copy_from_user(zh_page, from + done, zh_page_size))
			ret = -EFAULT;
		else
			ret = zh_add_page();
		cond_resched();
	}
	mutex_unlock(&zh_mutex);
	return ret ?: len;
}

static const struct file_operations zh_pages_fops = {
	.owner = THIS_MODULE,
	.open = zh_pages_open,
	.write = zh_pages_write,
};

static int zh_counts_show(struct seq_file *s, void *v)
{
	u32 size;
	int i;

	mutex_lock(&zh_mutex);
	seq_printf(s, "same %u\nsize", zh_same);
	for (i = 0; i < ARRAY_SIZE(zh_compressors); i++)
		seq_printf(s, " %s", zh_compressors[i].name);
	seq_putc(s, '\n');
	for (size = 1; size <= zh_page_size; size++) {
		if (!memchr_inv(zh_counts[size], 0, sizeof(zh_counts[size])))
			continue;
		seq_printf(s, "%u", size);
		for (i = 0; i < ARRAY_SIZE(zh_compressors); i++)
			seq_printf(s, " %u", zh_counts[size][i]);
		seq_putc(s, '\n');
	}
	mutex_unlock(&zh_mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(zh_counts);

static void zh_release(void)
{
	vfree(zh_counts);
	vfree(zh_zstd_memory);
	vfree(zh_lz4_memory);
	vfree(zh_lzo_memory);
	kfree(zh_out);
	kfree(zh_page);
}

static int __init zh_init(void)
{
	int ret = -ENOMEM;

	zh_page = kmalloc(ZH_PAGE_MAX, GFP_KERNEL);
	zh_out = kmalloc(ZH_ROOM, GFP_KERNEL);
	zh_counts = vzalloc(ZH_COUNTS_BYTES);
	zh_lzo_memory = vzalloc(LZO1X_MEM_COMPRESS);
	zh_lz4_memory = vzalloc(LZ4_MEM_COMPRESS);
	if (zh_page && zh_out && zh_counts && zh_lzo_memory && zh_lz4_memory)
		ret = zh_zstd_setup();
	if (ret) {
		zh_release();
		return ret;
	}
	zh_dir = debugfs_create_dir("zsmalloc_histogram", NULL);
	debugfs_create_u32("page_size", 0600, zh_dir, &zh_next_page_size);
	debugfs_create_file("pages", 0200, zh_dir, NULL, &zh_pages_fops);
	debugfs_create_file("counts", 0400, zh_dir, NULL, &zh_counts_fops);
	return 0;
}

static void __exit zh_exit(void)
{
	debugfs_remove(zh_dir);
	zh_release();
}

module_init(zh_init);
module_exit(zh_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The zsmalloc-rs developers");
MODULE_DESCRIPTION("Histogram of the sizes that pages compress to");
