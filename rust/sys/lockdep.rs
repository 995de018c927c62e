// SPDX-License-Identifier: GPL-2.0

//! Lockdep's view of the word lock, which is a bit of a word.
//!
//! Without `CONFIG_DEBUG_LOCK_ALLOC` these functions do nothing.
//!
//! C header: [`include/linux/lockdep.h`](srctree/include/linux/lockdep.h)

/// How a word was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// The caller may have waited for it: lockdep checks the order of the locks.
    Waited,
    /// The caller gives up if the word is locked.
    Tried,
}

/// This context has locked a word, or several at once. Any context.
#[inline(always)]
pub fn word_acquired(_how: Acquire) {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: Only tells lockdep; the map is static.
    unsafe {
        crate::bindings::zs_helper_word_acquired(_how == Acquire::Tried);
    }
}

/// This context unlocks what it last said that it had locked. Any context.
#[inline(always)]
pub fn word_released() {
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    // SAFETY: Only tells lockdep, which complains if nothing was locked; the map is static.
    unsafe {
        crate::bindings::zs_helper_word_released();
    }
}
