// SPDX-License-Identifier: GPL-2.0
/* Tracepoints for Rust code, which can neither define nor call them in 6.12. */

#include "glue.h"

#define CREATE_TRACE_POINTS
#include "tracepoints.h"

void zs_glue_trace_malloc_fail(const char *pool, size_t size, gfp_t gfp,
			       int error)
{
	trace_zs_malloc_fail(pool, size, gfp, error);
}

/* Lets the caller count freeable pages only if the tracepoint is enabled. */
bool zs_glue_trace_compact_start_enabled(void)
{
	return trace_zs_compact_start_enabled();
}

void zs_glue_trace_compact_start(const char *pool, unsigned int by,
				 unsigned long pages_freeable)
{
	trace_zs_compact_start(pool, by, pages_freeable);
}

void zs_glue_trace_compact_end(const char *pool, unsigned int by,
			       unsigned long pages_compacted,
			       unsigned long objects_moved)
{
	trace_zs_compact_end(pool, by, pages_compacted, objects_moved);
}
