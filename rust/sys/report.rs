// SPDX-License-Identifier: GPL-2.0

//! Messages to the kernel log.

use kernel::prelude::*;
use kernel::str::CStr;

use crate::bindings;

/// Warns, with a backtrace, that a caller passed a bad handle to `call`.
#[cold]
pub fn bad_handle(pool: &CStr, handle: usize, call: &str, reason: &str) {
    // SAFETY: `pool` is NUL-terminated. The other strings are valid for as many bytes as they have.
    unsafe {
        bindings::zs_helper_warn_handle(
            pool.as_char_ptr(),
            handle,
            call.as_ptr().cast(),
            call.len() as i32,
            reason.as_ptr().cast(),
            reason.len() as i32,
        )
    };
}

/// Reports that a destroyed pool had zspages in a fullness group.
#[cold]
pub fn group_not_empty(size: u32, group: usize) {
    pr_err!("Class-{size} fullness group {group} is not empty\n");
}

/// Warns that a zspage was neither put back nor released.
#[cold]
pub fn forgotten_zspage() {
    // SAFETY: The helper may be called in any context.
    unsafe { bindings::zs_helper_warn_forgotten() };
}

/// Warns that a zspage has no free slot although its count says so.
#[cold]
pub fn corrupt_zspage() {
    // SAFETY: The helper may be called in any context.
    unsafe { bindings::zs_helper_warn_corrupt() };
}

/// Calls `BUG()`. For code that the types make unreachable.
#[cold]
pub fn unreachable() -> ! {
    // SAFETY: The helper may be called in any context.
    unsafe { bindings::zs_helper_bug() }
}
