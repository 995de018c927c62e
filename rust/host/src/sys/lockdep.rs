// SPDX-License-Identifier: GPL-2.0

//! What lockdep would say of the word lock, which is a bit of a word.

use super::cpu_area;

/// How a word was locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquire {
    /// The caller may have waited for it: it must hold no lock.
    Waited,
    /// The caller gives up if the word is locked.
    Tried,
}

/// This CPU has locked a word, or several at once.
pub fn word_acquired(how: Acquire) {
    if how == Acquire::Waited {
        cpu_area::no_lock_held("waits for a word");
    }
    cpu_area::count_words(1);
}

/// This CPU unlocks what it last said that it had locked.
pub fn word_released() {
    cpu_area::count_words(-1);
}
