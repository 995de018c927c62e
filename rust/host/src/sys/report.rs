// SPDX-License-Identifier: GPL-2.0

//! Messages to the kernel log, recorded for tests.

use core::ffi::CStr;

use super::machine;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// See [`bad_handle`].
    BadHandle {
        /// The pool's name.
        pool: String,
        /// The handle, as C passed it.
        handle: usize,
        /// The function of C that it was passed to.
        call: String,
        /// Why it was refused.
        reason: String,
    },
    /// See [`group_not_empty`].
    GroupNotEmpty {
        /// Object size of the class, in bytes.
        size: u32,
        /// Number of the fullness group.
        group: usize,
    },
    /// See [`forgotten_zspage`].
    ForgottenZspage,
    /// See [`corrupt_zspage`].
    CorruptZspage,
}

/// Warns that a caller passed a bad handle to `call`.
#[cold]
pub fn bad_handle(pool: &CStr, handle: usize, call: &str, reason: &str) {
    machine::current().log(Report::BadHandle {
        pool: pool.to_string_lossy().into_owned(),
        handle,
        call: call.to_owned(),
        reason: reason.to_owned(),
    });
}

/// Reports that a destroyed pool had zspages in a fullness group.
#[cold]
pub fn group_not_empty(size: u32, group: usize) {
    machine::current().log(Report::GroupNotEmpty { size, group });
}

/// Warns that a zspage was neither put back nor freed.
#[cold]
pub fn forgotten_zspage() {
    machine::current().log(Report::ForgottenZspage);
}

/// Warns that a zspage has no free slot although its count says so.
#[cold]
pub fn corrupt_zspage() {
    machine::current().log(Report::CorruptZspage);
}

/// Panics. For code that the types make unreachable.
#[cold]
pub fn unreachable() -> ! {
    panic!("BUG: the engine ran unreachable code");
}
