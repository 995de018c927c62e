// SPDX-License-Identifier: GPL-2.0

//! The free objects of a zspage, as a bitmap beside it.
//!
//! The C allocator links free objects through the objects themselves. A bitmap keeps the
//! allocator's state out of memory that its users write: a stray write can spoil data, but not
//! make the allocator hand out an object twice; nor does a free object's memory need to be read,
//! mapped, or even there.

#![forbid(unsafe_code)]

use super::geometry::max_objs_per_zspage;
use crate::sys::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sys::page::PAGE_SIZE;

const WORD_BITS: usize = 64;
const WORDS: usize = max_objs_per_zspage(PAGE_SIZE).div_ceil(WORD_BITS);

/// Which objects of a zspage are in use.
///
/// The words are atomic so that reading them without the class lock is harmless; every change is
/// made under it.
///
/// # Invariants
///
/// Bits at and beyond the capacity given to [`SlotMap::new`] are set.
pub struct SlotMap {
    words: [AtomicU64; WORDS],
}

impl SlotMap {
    /// All of `objs` objects free.
    pub fn new(objs: usize) -> Self {
        Self {
            // INVARIANT: Bits from `objs` on are set here and `release` is bounded by callers'
            // indices, which come from this map.
            words: core::array::from_fn(|i| {
                let used_from = objs.saturating_sub(i * WORD_BITS);
                AtomicU64::new(if used_from >= WORD_BITS {
                    0
                } else {
                    u64::MAX << used_from
                })
            }),
        }
    }

    /// Marks the first free object as used and returns its index.
    pub fn take_first(&self) -> Option<usize> {
        for (i, word) in self.words.iter().enumerate() {
            let bits = word.load(Relaxed);
            if bits != u64::MAX {
                let bit = bits.trailing_ones() as usize;
                word.store(bits | 1 << bit, Relaxed);
                return Some((i * WORD_BITS).wrapping_add(bit));
            }
        }
        None
    }

    /// Marks object `index` as free. False if it was free already, or does not exist.
    pub fn release(&self, index: usize) -> bool {
        let Some(word) = self.words.get(index / WORD_BITS) else {
            return false;
        };
        let (bits, bit) = (word.load(Relaxed), 1 << (index % WORD_BITS));
        word.store(bits & !bit, Relaxed);
        bits & bit != 0
    }

    /// Whether object `index` is in use.
    pub fn is_used(&self, index: usize) -> bool {
        self.words
            .get(index / WORD_BITS)
            .is_some_and(|word| word.load(Relaxed) & (1 << (index % WORD_BITS)) != 0)
    }

    /// The first object in use at or after `from` and below `end`.
    pub fn next_used(&self, from: usize, end: usize) -> Option<usize> {
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
}
