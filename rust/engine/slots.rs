// SPDX-License-Identifier: GPL-2.0

//! The bitmap of free slots in a zspage.
//!
//! C zsmalloc links free objects through their own memory. A bitmap keeps this state out of memory
//! that users write to. A stray write can corrupt data, but cannot make the allocator return an
//! object twice. A free slot also needs no memory, so unused pages can be freed one by one.

#![forbid(unsafe_code)]

use core::ops::Range;

use super::geometry::max_objs_per_zspage;
use crate::sys::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sys::page::PAGE_SIZE;

const WORD_BITS: usize = 64;
const WORDS: usize = max_objs_per_zspage(PAGE_SIZE).div_ceil(WORD_BITS);

/// The free slots of a zspage. A slot holds one object.
///
/// A slot is *present* if all of its pages are. It is *free* if it is present and no object is
/// allocated in it. Otherwise it is *taken*: it is allocated, or not present.
///
/// The words are atomic so that they can be read without the class lock. Writers hold it.
pub struct SlotMap {
    // A set bit stands for a taken slot.
    words: [AtomicU64; WORDS],
}

impl SlotMap {
    /// Creates a bitmap of taken slots.
    pub fn new() -> Self {
        Self {
            words: [const { AtomicU64::new(u64::MAX) }; WORDS],
        }
    }

    /// Takes the first free slot below `end` and returns its index.
    #[inline]
    pub fn take_first_below(&self, end: usize) -> Option<usize> {
        let mut first = 0usize;
        for word in &self.words {
            let bits = word.load(Relaxed);
            if bits != u64::MAX {
                let index = first.wrapping_add(bits.trailing_ones() as usize);
                if index >= end {
                    return None;
                }
                // Sets the lowest bit that is clear.
                word.store(bits | bits.wrapping_add(1), Relaxed);
                return Some(index);
            }
            first = first.wrapping_add(WORD_BITS);
        }
        None
    }

    /// Frees a slot. Returns false if it was free or does not exist.
    #[inline]
    pub fn set_free(&self, index: usize) -> bool {
        let Some(word) = self.words.get(index / WORD_BITS) else {
            return false;
        };
        let (bits, bit) = (word.load(Relaxed), 1 << (index % WORD_BITS));
        word.store(bits & !bit, Relaxed);
        bits & bit != 0
    }

    /// Frees all slots in a range. Skips slots that do not exist.
    pub fn set_free_range(&self, range: Range<usize>) {
        for (word, mask) in self.masks(range) {
            word.store(word.load(Relaxed) & !mask, Relaxed);
        }
    }

    /// Takes all slots in a range. Skips slots that do not exist.
    #[inline]
    pub fn take_range(&self, range: Range<usize>) {
        for (word, mask) in self.masks(range) {
            word.store(word.load(Relaxed) | mask, Relaxed);
        }
    }

    /// Returns whether any slot in the range is taken.
    #[inline]
    pub fn any_taken(&self, range: Range<usize>) -> bool {
        self.masks(range)
            .any(|(word, mask)| word.load(Relaxed) & mask != 0)
    }

    // Returns the words that a range covers, each with a mask.
    #[inline]
    fn masks(&self, range: Range<usize>) -> impl Iterator<Item = (&AtomicU64, u64)> + '_ {
        let mut start = range.start;
        core::iter::from_fn(move || {
            if start >= range.end {
                return None;
            }
            let word = self.words.get(start / WORD_BITS)?;
            let next = (start | (WORD_BITS - 1)).wrapping_add(1);
            // From 1 to 64 bits, shifted to their place.
            let count = range.end.min(next).wrapping_sub(start);
            let mask = (u64::MAX >> (WORD_BITS.wrapping_sub(count) & (WORD_BITS - 1)))
                << (start & (WORD_BITS - 1));
            start = next;
            Some((word, mask))
        })
    }

    /// Returns whether a slot is taken. A slot that does not exist is.
    #[inline]
    pub fn is_taken(&self, index: usize) -> bool {
        self.words.get(index / WORD_BITS).map_or(true, |word| {
            word.load(Relaxed) & (1 << (index % WORD_BITS)) != 0
        })
    }

    /// Returns the last taken slot below `end`.
    pub fn prev_taken(&self, end: usize) -> Option<usize> {
        let mut index = end.checked_sub(1)?;
        loop {
            let word = self.words.get(index / WORD_BITS)?.load(Relaxed);
            // Shifts the bit of `index` to the top, and the bits above it out.
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
