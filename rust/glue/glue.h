/* SPDX-License-Identifier: GPL-2.0 */
/* The interface between Rust and C code in zsmalloc_rs.ko. */
#ifndef ZS_GLUE_H
#define ZS_GLUE_H

#include <linux/types.h>

struct dentry;
struct page;
struct zs_rs_pool;
struct zs_sysfs_pool;

/* rust/ffi/zs_pool.rs asserts that the engine has the same numbers. */
#define ZS_NR_GROUPS 12
/* The range of CONFIG_ZSMALLOC_CHAIN_SIZE. */
#define ZS_CHAIN_MIN 4
#define ZS_CHAIN_MAX 16
#define ZS_CHAIN_DEFAULT 16
#define ZS_PROACTIVENESS_DEFAULT 80

/* A row of the debugfs file classes. */
struct zs_class_row {
	unsigned int size;
	unsigned int pages_per_zspage;
	unsigned int objs_per_zspage;
	unsigned long zspages[ZS_NR_GROUPS];
	unsigned long objs_allocated;
	unsigned long objs_inuse;
	unsigned long pages;
	unsigned long freeable;
};

/* The contents of the debugfs file stats, and of sysfs. */
struct zs_event_counts {
	unsigned long pages;
	unsigned long handle_pages;
	unsigned long pages_freeable;
	unsigned long objects;
	unsigned long pages_compacted;
	unsigned long pages_compacted_user;
	unsigned long pages_compacted_shrinker;
	unsigned long pages_compacted_background;
	unsigned long background_runs;
	unsigned long background_deferred;
	unsigned long background_us;
	unsigned long objects_moved;
	unsigned long objects_busy;
	unsigned long pages_migrated;
	unsigned long migrations_refused;
	unsigned long deferred_frees;
};

/* Who compacts: enum By in rust/engine/compact.rs. */
enum zs_compact_by {
	ZS_COMPACT_USER,
	ZS_COMPACT_SHRINKER,
	ZS_COMPACT_BACKGROUND,
};

/* Rust functions that C calls. */
int zs_rs_migrate_page(struct page *newpage, struct page *page);
bool zs_rs_class_row(struct zs_rs_pool *pool, unsigned int index,
		     struct zs_class_row *row);
void zs_rs_event_counts(struct zs_rs_pool *pool, struct zs_event_counts *counts);
size_t zs_rs_metadata_bytes(struct zs_rs_pool *pool);

/* C functions that Rust calls. */
void zs_glue_debugfs_init(void);
void zs_glue_debugfs_exit(void);
struct dentry *zs_glue_debugfs_add(struct zs_rs_pool *pool, const char *name);
void zs_glue_debugfs_remove(struct dentry *dentry);
void zs_glue_sysfs_init(void);
void zs_glue_sysfs_exit(void);
struct zs_sysfs_pool *zs_glue_sysfs_add(struct zs_rs_pool *pool,
					const char *name);
void zs_glue_sysfs_remove(struct zs_sysfs_pool *pool);
void zs_glue_zpool_init(void);
int zs_glue_zpool_exit(void);
unsigned int zs_glue_chain_limit(void);
unsigned int zs_glue_compaction_proactiveness(void);
void zs_glue_trace_malloc_fail(const char *pool, size_t size, gfp_t gfp,
			       int error);
bool zs_glue_trace_compact_start_enabled(void);
void zs_glue_trace_compact_start(const char *pool, unsigned int by,
				 unsigned long pages_freeable);
void zs_glue_trace_compact_end(const char *pool, unsigned int by,
			       unsigned long pages_compacted,
			       unsigned long objects_moved);

#endif /* ZS_GLUE_H */
