// SPDX-License-Identifier: GPL-2.0

//! The free objects of a zspage, as a bitmap beside it.
//!
//! The C allocator links free objects through the objects themselves. A bitmap keeps the
//! allocator's state out of memory that its users write: a stray write can spoil data, but not
//! make the allocator hand out an object twice. And a free object needs no memory: pages on which
//! nothing is in use can be given back one by one.

#![forbid(unsafe_code)]

use super::geometry::max_objs_per_zspage;
use crate::sys::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sys::page::PAGE_SIZE;

const WORD_BITS: usize = 64;
const WORDS: usize = max_objs_per_zspage(PAGE_SIZE).div_ceil(WORD_BITS);

/// Which slots of a zspage can be handed out: a slot is a place for an object.
///
/// A slot is *open* if an object may be put there: it is free and all its pages are present. It is
/// *closed* if it is in use, or if a page of it is absent.
///
/// The words are atomic so that reading them without the class lock is harmless; every change is
/// made under it.
pub struct SlotMap {
    // A set bit is a closed slot.
    words: [AtomicU64; WORDS],
}

impl SlotMap {
    /// All slots closed.
    pub fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(u64::MAX) }; WORDS],
        }
    }

    /// Closes the first open slot and returns its index.
    pub fn close_first(&self) -> Option<usize> {
        let index = self.first_open()?;
        self.close(index);
        Some(index)
    }

    /// Opens a slot. False if it was open, or does not exist.
    pub fn open(&self, index: usize) -> bool {
        let Some(word) = self.words.get(index / WORD_BITS) else {
            return false;
        };
        let (bits, bit) = (word.load(Relaxed), 1 << (index % WORD_BITS));
        word.store(bits & !bit, Relaxed);
        bits & bit != 0
    }

    /// Closes a slot. False if it was closed, or does not exist.
    pub fn close(&self, index: usize) -> bool {
        let Some(word) = self.words.get(index / WORD_BITS) else {
            return false;
        };
        let (bits, bit) = (word.load(Relaxed), 1 << (index % WORD_BITS));
        word.store(bits | bit, Relaxed);
        bits & bit == 0
    }

    /// Whether a slot is closed.
    pub fn is_closed(&self, index: usize) -> bool {
        self.words.get(index / WORD_BITS).map_or(true, |word| {
            word.load(Relaxed) & (1 << (index % WORD_BITS)) != 0
        })
    }

    /// The first closed slot at or after `from` and below `end`.
    pub fn next_closed(&self, from: usize, end: usize) -> Option<usize> {
        let mut index = from;
        while index < end {
            let bits = self.words.get(index / WORD_BITS)?.load(Relaxed) >> (index % WORD_BITS);
            if bits != 0 {
                index = index.wrapping_add(bits.trailing_zeros() as usize);
                return (index < end).then_some(index);
            }
            index = (index | (WORD_BITS - 1)).wrapping_add(1);
        }
        None
    }

    /// The last closed slot below `end`.
    pub fn prev_closed(&self, end: usize) -> Option<usize> {
        let mut index = end.checked_sub(1)?;
        loop {
            let word = self.words.get(index / WORD_BITS)?.load(Relaxed);
            // The bits up to and including that of `index`, moved to the top.
            let bits = word << (WORD_BITS - 1 - index % WORD_BITS);
            if bits != 0 {
                return Some(index.wrapping_sub(bits.leading_zeros() as usize));
            }
            index = (index & !(WORD_BITS - 1)).checked_sub(1)?;
        }
    }

    /// The first open slot, if there is one.
    pub fn first_open(&self) -> Option<usize> {
        self.words.iter().enumerate().find_map(|(i, word)| {
            let bits = word.load(Relaxed);
            (bits != u64::MAX).then(|| (i * WORD_BITS).wrapping_add(bits.trailing_ones() as usize))
        })
    }
}

impl Default for SlotMap {
    fn default() -> Self {
        Self::new()
    }
}
