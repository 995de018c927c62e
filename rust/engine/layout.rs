// SPDX-License-Identifier: GPL-2.0

//! The layout of slots in a zspage.
//!
//! Slots are contiguous, so a slot may span two pages. Frequent values are computed once per class.

#![forbid(unsafe_code)]

use core::ops::Range;

use super::geometry::{ClassShape, MAX_CHAIN_LIMIT};
use crate::sys::page::{PAGE_SHIFT, PAGE_SIZE};

// Division by the object size is a multiplication by 2^40 / size, rounded up, and a shift. This is
// exact while the dividend and the size are below 2^20.
const RECIPROCAL_SHIFT: u32 = 40;

const _: () = assert!(MAX_CHAIN_LIMIT * PAGE_SIZE <= 1 << 20);

/// The slots of zspages of one class, by page.
pub struct Layout {
    size: u32,
    reciprocal: u64,
    // By position of a page: the slot of its first byte. Positions past the last page, and the
    // additional last element, have the number of slots.
    starts: [u16; MAX_CHAIN_LIMIT + 1],
    // Bit n is set if slot `starts[n]` begins on the previous page.
    straddles: u32,
}

impl Layout {
    /// Computes the layout of zspages with this geometry.
    pub fn new(shape: &ClassShape) -> Self {
        let size = u64::from(shape.size).max(1);
        let mut layout = Self {
            size: shape.size,
            reciprocal: (1u64 << RECIPROCAL_SHIFT).div_ceil(size),
            starts: [shape.objs; MAX_CHAIN_LIMIT + 1],
            straddles: 0,
        };
        for (position, first) in layout.starts.iter_mut().enumerate() {
            let start = (position << PAGE_SHIFT) as u64;
            let index = start.checked_div(size).unwrap_or(0);
            if index >= u64::from(shape.objs) {
                break;
            }
            // Below `shape.objs`, a `u16`.
            *first = index as u16;
            layout.straddles |= u32::from(index.wrapping_mul(size) < start) << position;
        }
        layout
    }

    /// Returns the offset of a slot in its zspage, in bytes.
    #[inline]
    pub fn offset(&self, index: usize) -> usize {
        // A zspage is at most sixteen pages, far from overflowing.
        index.wrapping_mul(self.size as usize)
    }

    /// Returns the slot of the byte at `offset` in the zspage.
    #[inline]
    pub fn index_at(&self, offset: usize) -> usize {
        ((offset as u64).wrapping_mul(self.reciprocal) >> RECIPROCAL_SHIFT) as usize
    }

    // Returns the slots that touch the pages at `positions`. Leaves out the first slot if it begins
    // on the previous page and `less` has the bit of the first position. Leaves out the last slot
    // if it continues on the next page, unless `more` has the bit of that page.
    #[inline]
    fn slots(&self, positions: Range<usize>, less: u32, more: u32) -> Range<usize> {
        let Range {
            start: first,
            end: next,
        } = positions;
        match (self.starts.get(first), self.starts.get(next)) {
            (Some(&start), Some(&end)) => {
                let straddles = |position: usize, pages: u32| {
                    ((self.straddles & pages) >> (position & 31)) as usize & 1
                };
                usize::from(start).wrapping_add(straddles(first, less))
                    ..usize::from(end).wrapping_add(straddles(next, more))
            }
            _ => 0..0,
        }
    }

    /// Returns the positions of the pages that `slots` touch.
    pub fn positions(&self, slots: &Range<usize>) -> Range<usize> {
        self.offset(slots.start) >> PAGE_SHIFT..self.offset(slots.end).div_ceil(PAGE_SIZE)
    }

    /// Returns the slots that touch the page at `position`.
    #[inline]
    pub fn touching(&self, position: usize) -> Range<usize> {
        self.touching_any(position..position.wrapping_add(1))
    }

    /// Returns the slots that touch any of the pages at `positions`.
    #[inline]
    pub fn touching_any(&self, positions: Range<usize>) -> Range<usize> {
        self.slots(positions, 0, u32::MAX)
    }

    /// Returns the slots that touch the page at `position` and have all of their pages. The bitmap
    /// `present` has the other pages that are present.
    #[inline]
    pub fn backed(&self, position: usize, present: u16) -> Range<usize> {
        let present = u32::from(present);
        self.slots(position..position.wrapping_add(1), !(present << 1), present)
    }
}
