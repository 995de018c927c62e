// SPDX-License-Identifier: GPL-2.0

#include <linux/list.h>

void zs_helper_list_init(struct list_head *head)
{
	INIT_LIST_HEAD(head);
}

void zs_helper_list_add(struct list_head *entry, struct list_head *head)
{
	list_add(entry, head);
}

void zs_helper_list_add_tail(struct list_head *entry, struct list_head *head)
{
	list_add_tail(entry, head);
}

void zs_helper_list_del(struct list_head *entry)
{
	list_del(entry);
}
