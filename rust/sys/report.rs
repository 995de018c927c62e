// SPDX-License-Identifier: GPL-2.0

//! Telling the kernel log what must not have happened.

use kernel::prelude::*;
use kernel::str::CStr;

use crate::bindings;

/// Warns, with a backtrace, that a caller passed a handle it must not have.
#[cold]
pub fn bad_handle(pool: &CStr, handle: usize, reason: &str) {
    // SAFETY: `pool` is NUL-terminated; `reason` is as long as said.
    unsafe {
        bindings::zs_helper_warn_handle(
            pool.as_char_ptr(),
            handle,
            reason.as_ptr().cast(),
            reason.len() as i32,
        )
    };
}

/// Says that a pool is destroyed with objects in it.
#[cold]
pub fn group_not_empty(size: u32, group: usize) {
    pr_err!("Class-{size} fullness group {group} is not empty\n");
}

/// Warns that a zspage was neither put back nor released.
#[cold]
pub fn forgotten_zspage() {
    // SAFETY: May be called anywhere.
    unsafe { bindings::zs_helper_warn_forgotten() };
}

/// Warns that a zspage has no open slot, although it says so.
#[cold]
pub fn corrupt_zspage() {
    // SAFETY: May be called anywhere.
    unsafe { bindings::zs_helper_warn_corrupt() };
}

/// Never returns; for what the types rule out, but the compiler cannot see.
#[cold]
pub fn unreachable() -> ! {
    // SAFETY: May be called anywhere; it does not return.
    unsafe { bindings::zs_helper_bug() }
}
