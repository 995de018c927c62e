// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs files: zsmalloc_rs/<pool>/classes has the columns of
 * CONFIG_ZSMALLOC_STAT, zsmalloc_rs/<pool>/stats the event counters.
 */

#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "glue.h"

/* MAX_CLASSES in rust/engine/geometry.rs. */
#define ZS_MAX_CLASSES 512

static struct dentry *zs_debugfs_root;

static int zs_classes_show(struct seq_file *s, void *v)
{
	struct zs_rs_pool *pool = s->private;
	struct zs_class_row row, total = {};
	int i, group;

	seq_printf(s, " %5s %5s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s %13s %10s %10s %16s %8s\n",
		   "class", "size", "10%", "20%", "30%", "40%", "50%", "60%",
		   "70%", "80%", "90%", "99%", "100%", "obj_allocated",
		   "obj_used", "pages_used", "pages_per_zspage", "freeable");

	for (i = 0; i < ZS_MAX_CLASSES; i++) {
		if (!zs_rs_class_row(pool, i, &row))
			continue;

		seq_printf(s, " %5u %5u ", i, row.size);
		/* Like C zsmalloc, do not print the empty group. */
		for (group = 1; group < ZS_NR_GROUPS; group++) {
			seq_printf(s, "%9lu ", row.zspages[group]);
			total.zspages[group] += row.zspages[group];
		}
		seq_printf(s, "%13lu %10lu %10lu %16u %8lu\n",
			   row.objs_allocated, row.objs_inuse, row.pages,
			   row.pages_per_zspage, row.freeable);

		total.objs_allocated += row.objs_allocated;
		total.objs_inuse += row.objs_inuse;
		total.freeable += row.freeable;
		total.pages += row.pages;
	}

	seq_printf(s, "\n %5s %5s ", "Total", "");
	for (group = 1; group < ZS_NR_GROUPS; group++)
		seq_printf(s, "%9lu ", total.zspages[group]);
	seq_printf(s, "%13lu %10lu %10lu %16s %8lu\n", total.objs_allocated,
		   total.objs_inuse, total.pages, "", total.freeable);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(zs_classes);

static int zs_stats_show(struct seq_file *s, void *v)
{
	struct zs_event_counts counts;

	zs_rs_event_counts(s->private, &counts);
	seq_printf(s, "pages %lu\n", counts.pages);
	seq_printf(s, "handle_pages %lu\n", counts.handle_pages);
	seq_printf(s, "pages_compacted %lu\n", counts.pages_compacted);
	seq_printf(s, "pages_compacted_shrinker %lu\n",
		   counts.pages_compacted_shrinker);
	seq_printf(s, "pages_compacted_background %lu\n",
		   counts.pages_compacted_background);
	seq_printf(s, "background_runs %lu\n", counts.background_runs);
	seq_printf(s, "background_deferred %lu\n", counts.background_deferred);
	seq_printf(s, "background_us %lu\n", counts.background_us);
	seq_printf(s, "objects_moved %lu\n", counts.objects_moved);
	seq_printf(s, "objects_busy %lu\n", counts.objects_busy);
	seq_printf(s, "pages_migrated %lu\n", counts.pages_migrated);
	seq_printf(s, "migrations_refused %lu\n", counts.migrations_refused);
	seq_printf(s, "deferred_frees %lu\n", counts.deferred_frees);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(zs_stats);

void zs_glue_debugfs_init(void)
{
	zs_debugfs_root = debugfs_create_dir("zsmalloc_rs", NULL);
}

void zs_glue_debugfs_exit(void)
{
	debugfs_remove(zs_debugfs_root);
}

/* Returns NULL without debugfs, or if a directory of that name exists. */
struct dentry *zs_glue_debugfs_add(struct zs_rs_pool *pool, const char *name)
{
	struct dentry *dir = debugfs_create_dir(name, zs_debugfs_root);

	if (IS_ERR(dir))
		return NULL;
	debugfs_create_file("classes", 0444, dir, pool, &zs_classes_fops);
	debugfs_create_file("stats", 0444, dir, pool, &zs_stats_fops);
	return dir;
}

void zs_glue_debugfs_remove(struct dentry *dentry)
{
	debugfs_remove(dentry);
}
