// SPDX-License-Identifier: GPL-2.0

//! What would go to the kernel log goes to the machine's, for tests to look at.

use core::ffi::CStr;

use super::machine;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// See [`bad_handle`].
    BadHandle {
        /// The pool's name.
        pool: String,
        /// The handle as C has it.
        handle: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// See [`group_not_empty`].
    GroupNotEmpty {
        /// Object size of the class.
        size: u32,
        /// Number of the fullness group.
        group: usize,
    },
    /// See [`forgotten_zspage`].
    ForgottenZspage,
    /// See [`corrupt_zspage`].
    CorruptZspage,
}

/// Warns that a caller passed a handle it must not have.
#[cold]
pub fn bad_handle(pool: &CStr, handle: usize, reason: &str) {
    machine::current().log(Report::BadHandle {
        pool: pool.to_string_lossy().into_owned(),
        handle,
        reason: reason.to_owned(),
    });
}

/// Says that a pool is destroyed with objects in it.
#[cold]
pub fn group_not_empty(size: u32, group: usize) {
    machine::current().log(Report::GroupNotEmpty { size, group });
}

/// Warns that a zspage was neither put back nor released.
#[cold]
pub fn forgotten_zspage() {
    machine::current().log(Report::ForgottenZspage);
}

/// Warns that a zspage has no open slot, although it says so.
#[cold]
pub fn corrupt_zspage() {
    machine::current().log(Report::CorruptZspage);
}

/// Never returns; for what the types rule out, but the compiler cannot see.
#[cold]
pub fn unreachable() -> ! {
    panic!("BUG: the engine reached what cannot be reached");
}
