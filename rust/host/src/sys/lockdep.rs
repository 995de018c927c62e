// SPDX-License-Identifier: GPL-2.0

//! The checks of lockdep for the entry lock, which is a bit in an entry.

use super::cpu_area;

/// How an entry was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// The caller may have waited for it, so it must hold no lock.
    Waited,
    /// The caller gives up if the entry is locked.
    Tried,
}

/// Records that this CPU locked an entry, or several at once.
pub fn entry_acquired(how: Acquire) {
    if how == Acquire::Waited {
        cpu_area::no_lock_held("waits for an entry");
    }
    cpu_area::count_entries(1);
}

/// Records that this CPU unlocks what it locked last.
pub fn entry_released() {
    cpu_area::count_entries(-1);
}
