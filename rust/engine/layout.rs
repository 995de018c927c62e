// SPDX-License-Identifier: GPL-2.0

//! Where the slots of a zspage are on its pages.
//!
//! Slots lie back to back, so that one may be on two pages. What is asked often is computed once
//! for each class.

#![forbid(unsafe_code)]

use core::ops::Range;

use super::geometry::{ClassShape, MAX_CHAIN_LIMIT};
use crate::sys::page::{PAGE_SHIFT, PAGE_SIZE};

// A number divided by the size is the number times 2^40 / size, rounded up, over 2^40: exactly so
// while both are below 2^20.
const RECIPROCAL_SHIFT: u32 = 40;

const _: () = assert!(MAX_CHAIN_LIMIT * PAGE_SIZE <= 1 << 20);

/// The slots of a class, page by page.
pub struct Layout {
    size: u32,
    reciprocal: u64,
    // By position of a page, and one more: the slot that the first byte belongs to. The number of
    // slots behind the last one.
    starts: [u16; MAX_CHAIN_LIMIT + 1],
    // Bit n is set if that slot begins on the page before.
    straddles: u32,
}

impl Layout {
    /// The slots of zspages of this shape.
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
            // Below the number of slots, as was just seen.
            *first = index as u16;
            layout.straddles |= u32::from(index.wrapping_mul(size) < start) << position;
        }
        layout
    }

    /// Where the slot of this index begins, in bytes from the start of the zspage.
    #[inline(always)]
    pub fn offset(&self, index: usize) -> usize {
        // A zspage is at most sixteen pages, so this is far from overflowing.
        index.wrapping_mul(self.size as usize)
    }

    /// The index of the slot that the byte at `offset` of a zspage belongs to.
    #[inline(always)]
    pub fn index_at(&self, offset: usize) -> usize {
        ((offset as u64).wrapping_mul(self.reciprocal) >> RECIPROCAL_SHIFT) as usize
    }

    // The slots that touch the page at `position`, from the one that its first byte belongs to, but
    // not that one if it begins on the page before and `less` has the bit of `position`; to the one
    // that goes on in the next page, if `more` has the bit of that.
    #[inline(always)]
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

    /// The positions of pages on which a part of these slots is.
    pub fn positions(&self, slots: &Range<usize>) -> Range<usize> {
        self.offset(slots.start) >> PAGE_SHIFT..self.offset(slots.end).div_ceil(PAGE_SIZE)
    }

    /// The slots of which a part is on the page at `position`.
    #[inline(always)]
    pub fn touching(&self, position: usize) -> Range<usize> {
        self.touching_any(position..position.wrapping_add(1))
    }

    /// The slots of which a part is on one of the pages at these positions.
    #[inline(always)]
    pub fn touching_any(&self, positions: Range<usize>) -> Range<usize> {
        self.slots(positions, 0, u32::MAX)
    }

    /// Those on the page at `position` that have all of their pages, if the pages set in `present` are
    /// there; that one is.
    #[inline(always)]
    pub fn backed(&self, position: usize, present: u16) -> Range<usize> {
        let present = u32::from(present);
        self.slots(position..position.wrapping_add(1), !(present << 1), present)
    }
}
