/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints, in events/zsmalloc_rs/ of tracefs. Names and fields follow the
 * patches that Ganesh Mahendran sent for mm/zsmalloc.c in 2016, where those have
 * an equivalent. Without CONFIG_TRACEPOINTS they compile to nothing.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM zsmalloc_rs

#if !defined(ZS_TRACEPOINTS_H) || defined(TRACE_HEADER_MULTI_READ)
#define ZS_TRACEPOINTS_H

#include <linux/tracepoint.h>
#include <linux/types.h>
#include <trace/events/mmflags.h>

/* An allocation failed, most often with -ENOMEM or for an invalid size. */
TRACE_EVENT(zs_malloc_fail,
	TP_PROTO(const char *pool, size_t size, gfp_t gfp, int error),
	TP_ARGS(pool, size, gfp, error),
	TP_STRUCT__entry(
		__string(pool, pool)
		__field(size_t, size)
		__field(unsigned long, gfp)
		__field(int, error)
	),
	TP_fast_assign(
		__assign_str(pool);
		__entry->size = size;
		__entry->gfp = (__force unsigned long)gfp;
		__entry->error = error;
	),
	TP_printk("pool %s: size=%zu gfp=%s error=%d", __get_str(pool),
		  __entry->size, show_gfp_flags(__entry->gfp), __entry->error)
);

#define ZS_SHOW_BY(by)							\
	__print_symbolic(by, { ZS_COMPACT_USER, "user" },		\
			 { ZS_COMPACT_SHRINKER, "shrinker" },		\
			 { ZS_COMPACT_BACKGROUND, "background" })

/* A compaction starts. pages_freeable is an estimate of what it can free. */
TRACE_EVENT(zs_compact_start,
	TP_PROTO(const char *pool, unsigned int by,
		 unsigned long pages_freeable),
	TP_ARGS(pool, by, pages_freeable),
	TP_STRUCT__entry(
		__string(pool, pool)
		__field(unsigned int, by)
		__field(unsigned long, pages_freeable)
	),
	TP_fast_assign(
		__assign_str(pool);
		__entry->by = by;
		__entry->pages_freeable = pages_freeable;
	),
	TP_printk("pool %s: pages_freeable=%lu by=%s", __get_str(pool),
		  __entry->pages_freeable, ZS_SHOW_BY(__entry->by))
);

/* A compaction ended. */
TRACE_EVENT(zs_compact_end,
	TP_PROTO(const char *pool, unsigned int by,
		 unsigned long pages_compacted, unsigned long objects_moved),
	TP_ARGS(pool, by, pages_compacted, objects_moved),
	TP_STRUCT__entry(
		__string(pool, pool)
		__field(unsigned int, by)
		__field(unsigned long, pages_compacted)
		__field(unsigned long, objects_moved)
	),
	TP_fast_assign(
		__assign_str(pool);
		__entry->by = by;
		__entry->pages_compacted = pages_compacted;
		__entry->objects_moved = objects_moved;
	),
	TP_printk("pool %s: pages_compacted=%lu objects_moved=%lu by=%s",
		  __get_str(pool), __entry->pages_compacted,
		  __entry->objects_moved, ZS_SHOW_BY(__entry->by))
);

#endif /* ZS_TRACEPOINTS_H */

/* Kbuild adds this directory to the include path. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE tracepoints
#include <trace/define_trace.h>
