// SPDX-License-Identifier: GPL-2.0

//! Lockdep's view of the entry lock, which is a bit of an entry.
//!
//! Without `CONFIG_DEBUG_LOCK_ALLOC` these functions do nothing.
//!
//! C header: [`include/linux/lockdep.h`](srctree/include/linux/lockdep.h)

/// How an entry was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// The caller may have waited for it: lockdep checks the order of the locks.
    Waited,
    /// The caller gives up if the entry is locked.
    Tried,
}

/// This context has locked an entry, or several at once. Any context.
#[inline(always)]
pub fn entry_acquired(_how: Acquire) {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: Only tells lockdep; the map is static.
    unsafe {
        crate::bindings::zs_helper_entry_acquired(_how == Acquire::Tried);
    }
}

/// This context unlocks what it last said that it had locked. Any context.
#[inline(always)]
pub fn entry_released() {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: Only tells lockdep, which complains if nothing was locked; the map is static.
    unsafe {
        crate::bindings::zs_helper_entry_released();
    }
}
