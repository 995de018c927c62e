// SPDX-License-Identifier: GPL-2.0

//! Tracepoints, for `perf` and `trace-cmd`. They are in `rust/glue/tracepoints.h`.
//!
//! While nobody looks, each costs a call and a branch; none is on the way of an allocation that
//! goes well.

use kernel::prelude::*;

use crate::bindings;
use crate::engine::compact::Compacted;
use crate::engine::pool::Pool;

/// `zs_malloc_fail`: a request of `size` bytes was refused with `error`. Any context.
#[cold]
pub(super) fn malloc_fail(pool: &Pool, size: usize, gfp: kernel::bindings::gfp_t, error: Error) {
    // SAFETY: The name is NUL-terminated, and copied.
    unsafe {
        bindings::zs_glue_trace_malloc_fail(pool.name().as_char_ptr(), size, gfp, error.to_errno())
    };
}

/// `zs_compact_start`, with the pages that can be freed now. Any context.
pub(super) fn compact_start(pool: &Pool) {
    // SAFETY: May be called any time; the name is NUL-terminated, and copied.
    unsafe {
        if bindings::zs_glue_trace_compact_start_enabled() {
            let freeable = pool.freeable_pages() as _;
            bindings::zs_glue_trace_compact_start(pool.name().as_char_ptr(), freeable);
        }
    }
}

/// `zs_compact_end`, with what this compaction did. Any context.
pub(super) fn compact_end(pool: &Pool, done: &Compacted) {
    // SAFETY: The name is NUL-terminated, and copied.
    unsafe {
        bindings::zs_glue_trace_compact_end(
            pool.name().as_char_ptr(),
            done.pages as _,
            done.objects as _,
        )
    };
}
