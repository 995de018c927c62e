// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/zsmalloc_rs/<pool>/: one number a file. They are documented in
 * Documentation/ABI/testing/sysfs-kernel-zsmalloc_rs.
 */

#include <linux/completion.h>
#include <linux/kobject.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "glue.h"

struct zs_sysfs_pool {
	struct kobject kobj;
	struct zs_rs_pool *pool;
	/* The kobject was released: who looks for a name may have held it. */
	struct completion released;
};

static struct kset *zs_kset;

/* Two pools may have one name, but a directory may not. */
static DEFINE_MUTEX(zs_names);

#define ZS_POOL_ATTR(_name)						\
static ssize_t _name##_show(struct kobject *kobj,			\
			    struct kobj_attribute *attr, char *buf)	\
{									\
	struct zs_sysfs_pool *this =					\
		container_of(kobj, struct zs_sysfs_pool, kobj);		\
	struct zs_event_counts counts;					\
									\
	zs_rs_event_counts(this->pool, &counts);			\
	return sysfs_emit(buf, "%lu\n", counts._name);			\
}									\
static struct kobj_attribute _name##_attr = __ATTR_RO(_name)

ZS_POOL_ATTR(pages);
ZS_POOL_ATTR(pages_freeable);
ZS_POOL_ATTR(objects);
ZS_POOL_ATTR(objects_moved);
ZS_POOL_ATTR(pages_compacted_user);
ZS_POOL_ATTR(pages_compacted_shrinker);
ZS_POOL_ATTR(pages_compacted_background);
ZS_POOL_ATTR(pages_migrated);
ZS_POOL_ATTR(background_runs);
ZS_POOL_ATTR(background_deferred);
ZS_POOL_ATTR(background_us);

/* This takes the lock of each class, the others take none. */
static ssize_t metadata_bytes_show(struct kobject *kobj,
				   struct kobj_attribute *attr, char *buf)
{
	struct zs_sysfs_pool *this =
		container_of(kobj, struct zs_sysfs_pool, kobj);

	return sysfs_emit(buf, "%zu\n", zs_rs_metadata_bytes(this->pool));
}

static struct kobj_attribute metadata_bytes_attr =
	__ATTR(metadata_bytes, 0400, metadata_bytes_show, NULL);

static struct attribute *zs_pool_attrs[] = {
	&pages_attr.attr,
	&pages_freeable_attr.attr,
	&objects_attr.attr,
	&metadata_bytes_attr.attr,
	&objects_moved_attr.attr,
	&pages_compacted_user_attr.attr,
	&pages_compacted_shrinker_attr.attr,
	&pages_compacted_background_attr.attr,
	&pages_migrated_attr.attr,
	&background_runs_attr.attr,
	&background_deferred_attr.attr,
	&background_us_attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(zs_pool);

static void zs_pool_release(struct kobject *kobj)
{
	struct zs_sysfs_pool *this =
		container_of(kobj, struct zs_sysfs_pool, kobj);

	complete(&this->released);
}

static const struct kobj_type zs_pool_ktype = {
	.release = zs_pool_release,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = zs_pool_groups,
};

/* Pools work without sysfs. */
void zs_glue_sysfs_init(void)
{
	zs_kset = kset_create_and_add("zsmalloc_rs", NULL, kernel_kobj);
}

void zs_glue_sysfs_exit(void)
{
	kset_unregister(zs_kset);
}

static bool zs_name_is_taken(const char *name)
{
	struct kobject *kobj = kset_find_obj(zs_kset, name);

	kobject_put(kobj);
	return kobj;
}

/* The second pool of a name gets "<name>-2". */
static int zs_sysfs_name(struct kobject *kobj, const char *name)
{
	unsigned int n = 1;
	int error = *name ? kobject_set_name(kobj, "%s", name) : -EINVAL;

	while (!error && zs_name_is_taken(kobject_name(kobj)))
		error = kobject_set_name(kobj, "%s-%u", name, ++n);
	return error;
}

static void zs_sysfs_free(struct zs_sysfs_pool *this)
{
	kobject_put(&this->kobj);
	wait_for_completion(&this->released);
	kfree(this);
}

/* Returns NULL if the directory cannot be created. The pool works without it. */
struct zs_sysfs_pool *zs_glue_sysfs_add(struct zs_rs_pool *pool,
					const char *name)
{
	struct zs_sysfs_pool *this;
	int error;

	if (!zs_kset)
		return NULL;
	this = kzalloc(sizeof(*this), GFP_KERNEL);
	if (!this)
		return NULL;
	this->pool = pool;
	init_completion(&this->released);
	kobject_init(&this->kobj, &zs_pool_ktype);
	this->kobj.kset = zs_kset;

	mutex_lock(&zs_names);
	error = zs_sysfs_name(&this->kobj, name);
	if (!error)
		error = kobject_add(&this->kobj, NULL, NULL);
	mutex_unlock(&zs_names);
	if (error) {
		zs_sysfs_free(this);
		return NULL;
	}
	return this;
}

/* Waits for readers. */
void zs_glue_sysfs_remove(struct zs_sysfs_pool *this)
{
	kobject_del(&this->kobj);
	zs_sysfs_free(this);
}
