// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of `rust/glue/tracepoints.h`.
//!
//! A disabled tracepoint costs a call and a branch. None is on the path of a successful allocation.

use kernel::prelude::*;
use kernel::str::CStr;

use crate::bindings;

/// `zs_malloc_fail`: an allocation of `size` bytes failed with `error`. Any context.
#[cold]
pub fn malloc_fail(pool: &CStr, size: usize, gfp: kernel::bindings::gfp_t, error: Error) {
    // SAFETY: The name is NUL-terminated. The tracepoint copies it.
    unsafe { bindings::zs_glue_trace_malloc_fail(pool.as_char_ptr(), size, gfp, error.to_errno()) };
}

/// `zs_compact_start`, with the number of pages that can be freed, which is only counted if somebody
/// traces. `by` is an `enum zs_compact_by`. Any context.
pub fn compact_start(pool: &CStr, by: u8, freeable: impl FnOnce() -> usize) {
    // SAFETY: The name is NUL-terminated. The tracepoint copies it.
    unsafe {
        if bindings::zs_glue_trace_compact_start_enabled() {
            bindings::zs_glue_trace_compact_start(pool.as_char_ptr(), by.into(), freeable() as _);
        }
    }
}

/// `zs_compact_end`, with what the compaction did. Any context.
pub fn compact_end(pool: &CStr, by: u8, pages: usize, objects: usize) {
    // SAFETY: The name is NUL-terminated. The tracepoint copies it.
    unsafe {
        bindings::zs_glue_trace_compact_end(pool.as_char_ptr(), by.into(), pages as _, objects as _)
    };
}
