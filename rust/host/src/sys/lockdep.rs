// SPDX-License-Identifier: GPL-2.0

//! The checks of lockdep for the entry lock, which is a bit in an entry.

use super::cpu_area;

/// Checks that this CPU may wait for an entry: it holds no lock.
pub fn entry_awaited() {
    cpu_area::no_lock_held("waits for an entry");
}

/// Records that this CPU locked an entry, or several at once.
pub fn entry_acquired() {
    cpu_area::count_entries(1);
}

/// Records that this CPU unlocks what it locked last.
pub fn entry_released() {
    cpu_area::count_entries(-1);
}
