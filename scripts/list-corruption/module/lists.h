/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Print the lists of a class to the log, and check them. Memory is read as by a
 * debugger, as pointers may be invalid.
 */
#ifndef ZS_RACE_LISTS_H
#define ZS_RACE_LISTS_H

#include <linux/seq_buf.h>
#include <linux/uaccess.h>

#define ZS_NAMES 8
/* Longer than any list of a case. */
#define ZS_LONGEST 12

static struct {
	struct zspage *zspage;
	char name;
} zs_names[ZS_NAMES];

static void zs_name(char name, struct zspage *zspage)
{
	int i;

	for (i = 0; i < ZS_NAMES; i++) {
		if (!zs_names[i].name || zs_names[i].name == name) {
			zs_names[i].name = name;
			zs_names[i].zspage = zspage;
			return;
		}
	}
}

static char zs_name_of(struct zspage *zspage)
{
	int i;

	for (i = 0; i < ZS_NAMES; i++)
		if (zs_names[i].name && zs_names[i].zspage == zspage)
			return zs_names[i].name;
	return '?';
}

static void zs_draw_list(struct size_class *class, int group)
{
	struct list_head *head = &class->fullness_list[group];
	struct list_head *at = head;
	struct list_head node;
	struct zspage zspage;
	static char text[256];
	struct seq_buf s;
	int i;

	seq_buf_init(&s, text, sizeof(text));
	seq_buf_printf(&s, "|   group %2d:", group);
	for (i = 0; i < ZS_LONGEST; i++) {
		if (copy_from_kernel_nofault(&node, at, sizeof(node))) {
			seq_buf_puts(&s, " -> (unreadable)");
			break;
		}
		at = node.next;
		if (at == head) {
			seq_buf_puts(&s, " -> (head)");
			break;
		}
		if (!at) {
			seq_buf_puts(&s, " -> NULL");
			break;
		}
		if (copy_from_kernel_nofault(&zspage,
					     list_entry(at, struct zspage, list),
					     sizeof(zspage))) {
			seq_buf_puts(&s, " -> (unreadable)");
			break;
		}
		seq_buf_printf(&s, " -> %c %u in use",
			       zs_name_of(list_entry(at, struct zspage, list)),
			       zspage.inuse);
		if (zspage.class != class->index)
			seq_buf_puts(&s, " (of another class)");
	}
	if (i == ZS_LONGEST)
		seq_buf_puts(&s, " -> ... and so on, it never comes back to its head");
	pr_info("%s\n", seq_buf_str(&s));
}

/* Print all lists that are not empty. */
static void zs_draw(struct size_class *class)
{
	int group;

	pr_info("| class of %d bytes, %d objects in a zspage, %lu objects unused%s\n",
		class->size, class->objs_per_zspage,
		class_stat_read(class, ZS_OBJS_ALLOCATED) -
			class_stat_read(class, ZS_OBJS_INUSE),
		zs_can_compact(class) ? "" : ": nothing to compact");
	for (group = 0; group < NR_FULLNESS_GROUPS; group++)
		if (!list_empty(&class->fullness_list[group]))
			zs_draw_list(class, group);
}

/* Check a list against the counters of its class. Adds its objects to @inuse. */
static bool zs_list_ok(struct zs_pool *pool, struct size_class *class,
		       int group, unsigned long *inuse)
{
	struct list_head *head = &class->fullness_list[group];
	struct list_head *before = head;
	unsigned long left = class_stat_read(class, group);
	struct list_head *at;
	struct zspage zspage;

	for (at = head->next; at != head; before = at, at = zspage.list.next) {
		if (!left-- ||
		    copy_from_kernel_nofault(&zspage,
					     list_entry(at, struct zspage, list),
					     sizeof(zspage)))
			return false;
		if (zspage.list.prev != before || zspage.fullness != group ||
		    zspage.class != class->index ||
		    get_fullness_group(class, &zspage) != group)
			return false;
		*inuse += zspage.inuse;
	}
	return !left;
}

/* Number of inconsistent lists and counters of a class. */
static int zs_check(struct zs_pool *pool, struct size_class *class)
{
	unsigned long zspages = 0, inuse = 0;
	int group, wrong = 0;

	spin_lock(&class->lock);
	for (group = 0; group < NR_FULLNESS_GROUPS; group++) {
		wrong += !zs_list_ok(pool, class, group, &inuse);
		zspages += class_stat_read(class, group);
	}
	wrong += inuse != class_stat_read(class, ZS_OBJS_INUSE);
	wrong += zspages * class->objs_per_zspage !=
		 class_stat_read(class, ZS_OBJS_ALLOCATED);
	spin_unlock(&class->lock);
	return wrong;
}

#endif /* ZS_RACE_LISTS_H */
