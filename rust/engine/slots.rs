// SPDX-License-Identifier: GPL-2.0

//! The free objects of a zspage, as a bitmap beside it.
//!
//! The C allocator links free objects through the objects themselves. A bitmap keeps the
//! allocator's state out of memory that its users write: a stray write can spoil data, but not
//! make the allocator return an object twice. And a free object needs no memory: pages on which
//! nothing is in use can be given back one by one.

#![forbid(unsafe_code)]

use core::ops::Range;

use super::geometry::max_objs_per_zspage;
use crate::sys::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sys::page::PAGE_SIZE;

const WORD_BITS: usize = 64;
const WORDS: usize = max_objs_per_zspage(PAGE_SIZE).div_ceil(WORD_BITS);

/// Which slots of a zspage are free. A slot has room for one object.
///
/// A slot is *present* if all its pages are. It is *free* if it is present and no object is allocated
/// there. Otherwise it is *taken*: it is allocated, or absent.
///
/// The words are atomic so that reading them without the class lock is harmless; every change is
/// made under it.
pub struct SlotMap {
    // A set bit is a taken slot.
    words: [AtomicU64; WORDS],
}

impl SlotMap {
    /// All slots taken.
    pub fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(u64::MAX) }; WORDS],
        }
    }

    /// Takes the first free slot and returns its index.
    #[inline(always)]
    pub fn take_first(&self) -> Option<usize> {
        let mut first = 0usize;
        for word in &self.words {
            let bits = word.load(Relaxed);
            if bits != u64::MAX {
                // The first zero becomes a one.
                word.store(bits | bits.wrapping_add(1), Relaxed);
                return Some(first.wrapping_add(bits.trailing_ones() as usize));
            }
            first = first.wrapping_add(WORD_BITS);
        }
        None
    }

    /// Makes a slot free. False if it was, or does not exist.
    #[inline]
    pub fn set_free(&self, index: usize) -> bool {
        let Some(word) = self.words.get(index / WORD_BITS) else {
            return false;
        };
        let (bits, bit) = (word.load(Relaxed), 1 << (index % WORD_BITS));
        word.store(bits & !bit, Relaxed);
        bits & bit != 0
    }

    /// Takes a slot. False if it was taken, or does not exist.
    #[inline]
    pub fn clear_free(&self, index: usize) -> bool {
        let Some(word) = self.words.get(index / WORD_BITS) else {
            return false;
        };
        let (bits, bit) = (word.load(Relaxed), 1 << (index % WORD_BITS));
        word.store(bits | bit, Relaxed);
        bits & bit == 0
    }

    /// Makes the slots of a range free. Those that do not exist are left out.
    pub fn set_free_range(&self, range: Range<usize>) {
        for (_, word, mask) in self.masks(range) {
            word.store(word.load(Relaxed) & !mask, Relaxed);
        }
    }

    /// Takes the slots of a range. Those that do not exist are left out.
    pub fn clear_free_range(&self, range: Range<usize>) {
        for (_, word, mask) in self.masks(range) {
            word.store(word.load(Relaxed) | mask, Relaxed);
        }
    }

    /// Takes the slots of a range, if all of them are free; else none, and false.
    #[inline]
    pub fn take_range(&self, range: Range<usize>) -> bool {
        for (first, word, mask) in self.masks(range.clone()) {
            let bits = word.load(Relaxed);
            if bits & mask != 0 {
                self.set_free_range(range.start..first);
                return false;
            }
            word.store(bits | mask, Relaxed);
        }
        true
    }

    /// Whether a slot of the range is taken.
    #[inline]
    pub fn any_taken(&self, range: Range<usize>) -> bool {
        self.masks(range)
            .any(|(_, word, mask)| word.load(Relaxed) & mask != 0)
    }

    /// The first free slot of the range.
    pub fn first_free_in(&self, range: Range<usize>) -> Option<usize> {
        self.masks(range).find_map(|(first, word, mask)| {
            let free = !word.load(Relaxed) & mask;
            (free != 0).then(|| first.wrapping_add(free.trailing_zeros() as usize))
        })
    }

    // The words that a range is in, each with the slot of its lowest bit, and the range's bits in it.
    #[inline]
    fn masks(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &AtomicU64, u64)> + '_ {
        let mut start = range.start;
        core::iter::from_fn(move || {
            if start >= range.end {
                return None;
            }
            let first = start & !(WORD_BITS - 1);
            let word = self.words.get(start / WORD_BITS)?;
            let next = (start | (WORD_BITS - 1)).wrapping_add(1);
            // At least one bit, at most all, moved to where they are.
            let count = range.end.min(next).wrapping_sub(start);
            let mask = (u64::MAX >> (WORD_BITS.wrapping_sub(count) & (WORD_BITS - 1)))
                << (start & (WORD_BITS - 1));
            start = next;
            Some((first, word, mask))
        })
    }

    /// Whether a slot is taken.
    #[inline]
    pub fn is_taken(&self, index: usize) -> bool {
        self.words.get(index / WORD_BITS).map_or(true, |word| {
            word.load(Relaxed) & (1 << (index % WORD_BITS)) != 0
        })
    }

    /// The last taken slot below `end`.
    pub fn prev_taken(&self, end: usize) -> Option<usize> {
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
}

impl Default for SlotMap {
    fn default() -> Self {
        Self::new()
    }
}
