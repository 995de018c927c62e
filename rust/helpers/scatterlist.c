// SPDX-License-Identifier: GPL-2.0

#include <linux/mm.h>
#include <linux/scatterlist.h>

/* As sg_init_table(), inlined. */
void zs_helper_sg_init(struct scatterlist *sg, unsigned int count)
{
	memset(sg, 0, sizeof(*sg) * count);
	sg_init_marker(sg, count);
}

void zs_helper_sg_set_page(struct scatterlist *sg, struct page *page,
			   size_t offset, size_t len)
{
	sg_set_page(sg, page, len, offset);
}

/* What a caller gets that is refused, as it is not told. */
void zs_helper_sg_set_zeroes(struct scatterlist *sg, size_t len)
{
	sg_set_page(sg, ZERO_PAGE(0), min_t(size_t, len, PAGE_SIZE), 0);
}
