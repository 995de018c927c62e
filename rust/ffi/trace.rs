// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of `rust/glue/tracepoints.h`.
//!
//! A disabled tracepoint costs a call and a branch. None is on the path of a successful allocation.

use kernel::prelude::*;

use crate::bindings;
use crate::engine::compact::Compacted;
use crate::engine::pool::Pool;

/// `zs_malloc_fail`: an allocation of `size` bytes failed with `error`. Any context.
#[cold]
pub(super) fn malloc_fail(pool: &Pool, size: usize, gfp: kernel::bindings::gfp_t, error: Error) {
    // SAFETY: The name is NUL-terminated. The tracepoint copies it.
    unsafe {
        bindings::zs_glue_trace_malloc_fail(pool.name().as_char_ptr(), size, gfp, error.to_errno())
    };
}

/// `zs_compact_start`, with the number of pages that can be freed. Any context.
pub(super) fn compact_start(pool: &Pool) {
    // SAFETY: The name is NUL-terminated. The tracepoint copies it.
    unsafe {
        if bindings::zs_glue_trace_compact_start_enabled() {
            let freeable = pool.freeable_pages() as _;
            bindings::zs_glue_trace_compact_start(pool.name().as_char_ptr(), freeable);
        }
    }
}

/// `zs_compact_end`, with the result of the compaction. Any context.
pub(super) fn compact_end(pool: &Pool, done: &Compacted) {
    // SAFETY: The name is NUL-terminated. The tracepoint copies it.
    unsafe {
        bindings::zs_glue_trace_compact_end(
            pool.name().as_char_ptr(),
            done.pages as _,
            done.objects as _,
        )
    };
}
