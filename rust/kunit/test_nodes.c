// SPDX-License-Identifier: GPL-2.0
/*
 * The node that zs_malloc() is told: preferred, but not required; and the counts
 * of pages of each node. Needs several nodes, as numa=fake=4 makes of a machine
 * with one.
 */

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/nodemask.h>

#include "kunit.h"

#define ZS_OBJECTS 400
/* Objects of many sizes; this is the largest. */
#define ZS_MOST 3000

static int zs_nodes_init(struct kunit *test)
{
#ifndef ZS_HAVE_MALLOC_NID
	kunit_skip(test, "zs_malloc() of this kernel has no node");
#endif
	if (!IS_ENABLED(CONFIG_ZSMALLOC))
		kunit_skip(test, "this kernel does not count the pages");
	if (num_node_state(N_MEMORY) < 2)
		kunit_skip(test, "needs several nodes, such as numa=fake=4");
	return zs_fixture_init(test);
}

/* The pages of zsmalloc that are on each node. */
static void pages_of_nodes(struct kunit *test, unsigned int *pages)
{
	unsigned int count = zs_pages_find(NULL, UINT_MAX), found, i;
	unsigned long *pfns;

	memset(pages, 0, MAX_NUMNODES * sizeof(*pages));
	pfns = kvcalloc(count + 1, sizeof(*pfns), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pfns);
	found = zs_pages_find(pfns, count + 1);
	for (i = 0; i < found; i++)
		pages[page_to_nid(pfn_to_page(pfns[i]))]++;
	kvfree(pfns);
	KUNIT_EXPECT_EQ(test, found, count);
}

/* The counts say what is there. No other pool may have a page. */
static void counts_are_right(struct kunit *test, struct zs_pool *pool,
			     unsigned int *pages)
{
	unsigned long sum = 0;
	int node;

	pages_of_nodes(test, pages);
	for_each_online_node(node) {
		KUNIT_EXPECT_EQ_MSG(test, zs_nr_zspages_of(node), pages[node],
				    "node %d", node);
		sum += pages[node];
	}
	KUNIT_EXPECT_EQ(test, zs_get_total_pages(pool), sum);
}

static void all_are_free(struct kunit *test, struct zs_pool *pool)
{
	int node;

	ZS_EXPECT_EMPTY(test, pool);
	for_each_online_node(node)
		KUNIT_EXPECT_EQ_MSG(test, zs_nr_zspages_of(node), 0, "node %d",
				    node);
}

/* Pages of a pool whose objects are all for one node. */
static void pages_are_of_the_node(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	unsigned int *pages, nodes = 0, i;
	struct zs_objects objects = {};
	int node;

	pages = kunit_kcalloc(test, MAX_NUMNODES, sizeof(*pages), GFP_KERNEL);
	objects.object = zs_objects_alloc(test, ZS_OBJECTS);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	for_each_node_state(node, N_MEMORY) {
		nodes++;
		for (i = 0; i < ZS_OBJECTS; i++) {
			KUNIT_ASSERT_EQ(test, 0,
					zs_object_new_on(pool, &objects.object[i],
							 1 + 7 * i % ZS_MOST, i,
							 node));
			objects.count++;
		}
		counts_are_right(test, pool, pages);
		KUNIT_EXPECT_GT(test, pages[node], 0);
		/* It has memory enough. */
		KUNIT_EXPECT_EQ_MSG(test, pages[node], zs_get_total_pages(pool),
				    "node %d", node);
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
		zs_objects_free(pool, &objects);
		all_are_free(test, pool);
	}
	kunit_info(test, "zs-test: nodes: %u\n", nodes);
	KUNIT_EXPECT_GE(test, nodes, 2);
}

/*
 * An object goes where there is room, whatever its node. So a page of each node
 * is asked for by objects that need one of their own.
 */
static void nodes_share_a_pool(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects = {};
	unsigned int *pages, i;
	int node = NUMA_NO_NODE;
	void *bytes;

	pages = kunit_kcalloc(test, MAX_NUMNODES, sizeof(*pages), GFP_KERNEL);
	objects.object = zs_objects_alloc(test, ZS_OBJECTS);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	for (i = 0; i < ZS_OBJECTS; i++) {
		node = i ? next_node_in(node, node_states[N_MEMORY]) :
			   first_node(node_states[N_MEMORY]);
		KUNIT_ASSERT_EQ(test, 0,
				zs_object_new_on(pool, &objects.object[i],
						 PAGE_SIZE, i, node));
		objects.count++;
		bytes = zs_object_address(pool, &objects.object[i]);
		KUNIT_EXPECT_EQ(test, node, page_to_nid(virt_to_page(bytes)));
	}
	counts_are_right(test, pool, pages);
	for_each_node_state(node, N_MEMORY)
		KUNIT_EXPECT_GT(test, pages[node], 0);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
	all_are_free(test, pool);
}

/* More than the node has: the rest is elsewhere, and nothing fails. */
static void a_full_node_does_not_fail(struct kunit *test)
{
	int node = first_node(node_states[N_MEMORY]);
	struct zs_pool *pool = zs_pool(test);
	struct zs_objects objects = {};
	unsigned int max, *pages;

	pages = kunit_kcalloc(test, MAX_NUMNODES, sizeof(*pages), GFP_KERNEL);
	max = NODE_DATA(node)->node_present_pages + 500;
	objects.object = kvcalloc(max, sizeof(*objects.object), GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, pages && objects.object);
	for (; objects.count < max; objects.count++)
		if (zs_object_new_on(pool, &objects.object[objects.count],
				     PAGE_SIZE, objects.count, node))
			break;
	KUNIT_EXPECT_EQ(test, objects.count, max);
	counts_are_right(test, pool, pages);
	kunit_info(test, "zs-test: of %u pages %u are on node %d\n",
		   objects.count, pages[node], node);
	KUNIT_EXPECT_GT(test, pages[node], 500);
	KUNIT_EXPECT_LT(test, pages[node], objects.count);
	ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
	zs_objects_free(pool, &objects);
	kvfree(objects.object);
	all_are_free(test, pool);
}

/* Every page goes to the next node and to the one after. Counts go along. */
static void counts_follow_a_migration(struct kunit *test)
{
	struct zs_pool *pool = zs_pool(test);
	unsigned int *pages, max, count, i, round;
	int node = first_node(node_states[N_MEMORY]);
	struct zs_objects objects;
	unsigned long *pfns;

	if (!IS_ENABLED(CONFIG_COMPACTION))
		kunit_skip(test, "needs CONFIG_COMPACTION");
	pages = kunit_kcalloc(test, MAX_NUMNODES, sizeof(*pages), GFP_KERNEL);
	zs_objects_mixed(test, pool, &objects, ZS_OBJECTS, 1);
	max = zs_get_total_pages(pool);
	pfns = kunit_kcalloc(test, max, sizeof(*pfns), GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, pages && pfns);
	for (round = 0; round < 3; round++) {
		count = zs_pages_find(pfns, max);
		KUNIT_ASSERT_EQ(test, count, max);
		for (i = 0; i < count; i++)
			KUNIT_EXPECT_EQ(test, 0,
					zs_page_move_to(pfn_to_page(pfns[i]),
							GFP_KERNEL, node));
		counts_are_right(test, pool, pages);
		KUNIT_EXPECT_EQ_MSG(test, pages[node], max, "node %d", node);
		ZS_EXPECT_OBJECTS_OK(test, pool, &objects);
		node = next_node_in(node, node_states[N_MEMORY]);
	}
	kunit_info(test, "zs-test: pages moved: %u\n", 3 * max);
	zs_objects_free(pool, &objects);
	all_are_free(test, pool);
}

static struct kunit_case zs_nodes_cases[] = {
	ZS_CASE(pages_are_of_the_node),
	ZS_CASE(nodes_share_a_pool),
	ZS_CASE(a_full_node_does_not_fail),
	ZS_CASE(counts_follow_a_migration),
	{}
};

static struct kunit_suite zs_nodes_suite = {
	.name = "zsmalloc_nodes",
	.init = zs_nodes_init,
	.exit = zs_fixture_exit,
	.test_cases = zs_nodes_cases,
};

kunit_test_suite(zs_nodes_suite);
