// SPDX-License-Identifier: GPL-2.0
/* Tracepoints for Rust code, which can neither define nor call them in 6.12. */

#define CREATE_TRACE_POINTS
#include "tracepoints.h"

#include "glue.h"

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

void zs_glue_trace_compact_start(const char *pool, unsigned long pages_freeable)
{
	trace_zs_compact_start(pool, pages_freeable);
}

void zs_glue_trace_compact_end(const char *pool, unsigned long pages_compacted,
			       unsigned long objects_moved)
{
	trace_zs_compact_end(pool, pages_compacted, objects_moved);
}
