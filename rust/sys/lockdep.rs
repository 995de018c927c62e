// SPDX-License-Identifier: GPL-2.0

//! Lockdep annotations of the entry lock, a bit in an entry.
//!
//! Without `CONFIG_DEBUG_LOCK_ALLOC` these functions do nothing.
//!
//! C header: [`include/linux/lockdep.h`](srctree/include/linux/lockdep.h)

/// How an entry was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// The caller may wait for the entry, so lockdep checks the lock order.
    Waited,
    /// The caller gives up if the entry is locked.
    Tried,
}

/// Tells lockdep that this context locked an entry, or several at once. Any context.
#[inline(always)]
pub fn entry_acquired(_how: Acquire) {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: The helper only tells lockdep, and its map is static.
    unsafe {
        crate::bindings::zs_helper_entry_acquired(_how == Acquire::Tried);
    }
}

/// Tells lockdep that this context unlocks the entries of the last [`entry_acquired`]. Any context.
#[inline(always)]
pub fn entry_released() {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: The helper only tells lockdep, and its map is static.
    unsafe {
        crate::bindings::zs_helper_entry_released();
    }
}
