// SPDX-License-Identifier: GPL-2.0

//! Lockdep annotations of the entry lock, a bit in an entry.
//!
//! Without `CONFIG_DEBUG_LOCK_ALLOC` these functions do nothing.
//!
//! C header: [`include/linux/lockdep.h`](srctree/include/linux/lockdep.h)

/// Tells lockdep that this context may wait for an entry. Any context.
#[inline(always)]
pub fn entry_awaited() {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: The helper only tells lockdep, and its map is static.
    unsafe {
        crate::bindings::zs_helper_entry_awaited();
    }
}

/// Tells lockdep that this context locked an entry exclusively, or several at once. It did not wait:
/// whoever finds an entry locked gives up. Any context.
#[inline(always)]
pub fn entry_acquired() {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: The helper only tells lockdep, and its map is static.
    unsafe {
        crate::bindings::zs_helper_entry_acquired();
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
