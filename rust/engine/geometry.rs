// SPDX-License-Identifier: GPL-2.0

//! Size classes: which sizes exist, how many pages a zspage of each has, which are merged.
//!
//! The rules are those of `calculate_zspage_chain_size()` and `zs_create_pool()` in the kernel's
//! `mm/zsmalloc.c`, so that a given object size lands in the class of the same index in both.

#![forbid(unsafe_code)]

use crate::sys::page::PAGE_SIZE;

/// Bytes that the handle takes at the head of an object (not in the huge class).
pub const HANDLE_SIZE: usize = 8;

/// Size classes are a multiple of this many bytes, and so are the addresses of mapped objects.
pub const ALIGN: usize = 8;

/// Smallest size class, in bytes.
pub const MIN_CLASS_SIZE: usize = 32;

/// Bounds of the longest chain a pool may be asked for, in pages.
pub const MIN_CHAIN_LIMIT: usize = 4;
/// See [`MIN_CHAIN_LIMIT`].
pub const MAX_CHAIN_LIMIT: usize = 16;
/// The kernel's default for `CONFIG_ZSMALLOC_CHAIN_SIZE`.
pub const DEFAULT_CHAIN_LIMIT: usize = 8;

/// The most size classes, at any page size: the delta between them is a 256th of a page.
pub const MAX_CLASSES: usize = 257;

// Division that cannot panic: no size here is ever zero, but the compiler does not know.
const fn div(a: usize, b: usize) -> usize {
    match a.checked_div(b) {
        Some(quotient) => quotient,
        None => 0,
    }
}

const fn rem(a: usize, b: usize) -> usize {
    a.wrapping_sub(div(a, b).wrapping_mul(b))
}

/// Bytes between two neighbouring size classes.
pub const fn class_delta(page_size: usize) -> usize {
    page_size >> 8
}

/// How many sizes there are before merging.
pub const fn nr_sizes(page_size: usize) -> usize {
    let delta = class_delta(page_size);
    let span = page_size.saturating_sub(MIN_CLASS_SIZE);
    div(span.saturating_add(delta).saturating_sub(1), delta).saturating_add(1)
}

/// The size in bytes of the class of index `index`.
pub const fn class_size(page_size: usize, index: usize) -> usize {
    let size = class_delta(page_size)
        .saturating_mul(index)
        .saturating_add(MIN_CLASS_SIZE);
    if size > page_size {
        page_size
    } else {
        size
    }
}

/// The number of pages, at most `limit`, whose chain wastes least for objects of `size` bytes.
///
/// The shortest of equals wins.
pub const fn chain_length(page_size: usize, size: usize, limit: usize) -> usize {
    let mut best = 1;
    let mut min_waste = rem(page_size, size);
    let mut pages: usize = 2;
    while pages <= limit {
        let waste = rem(pages.wrapping_mul(page_size), size);
        if waste < min_waste {
            min_waste = waste;
            best = pages;
        }
        pages = pages.wrapping_add(1);
    }
    best
}

/// How many objects of `size` bytes fit in `pages` pages.
pub const fn objs_per_zspage(page_size: usize, size: usize, pages: usize) -> usize {
    div(pages.wrapping_mul(page_size), size)
}

/// The most objects that any zspage can hold.
pub(super) const fn max_objs_per_zspage(page_size: usize) -> usize {
    let mut max = 0;
    let mut limit = MIN_CHAIN_LIMIT;
    while limit <= MAX_CHAIN_LIMIT {
        let mut index = 0;
        while index < nr_sizes(page_size) {
            let size = class_size(page_size, index);
            let pages = chain_length(page_size, size, limit);
            let objs = objs_per_zspage(page_size, size, pages);
            if objs > max {
                max = objs;
            }
            index += 1;
        }
        limit += 1;
    }
    max
}

/// What one size class looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassShape {
    /// Bytes per object, the in-object handle included.
    pub size: u32,
    /// Index of the class: that of the largest size merged into it.
    pub index: u16,
    /// Objects in a full zspage.
    pub objs: u16,
    /// Pages in a zspage.
    pub pages: u8,
}

impl ClassShape {
    const fn new(page_size: usize, index: usize, limit: usize) -> Self {
        let size = class_size(page_size, index);
        let pages = chain_length(page_size, size, limit);
        // The casts lose nothing: a size is at most a page of 64 KiB, and
        // `max_objs_per_zspage()` of that is below 2^16.
        Self {
            size: size as u32,
            index: index as u16,
            objs: objs_per_zspage(page_size, size, pages) as u16,
            pages: pages as u8,
        }
    }

    /// Whether one object takes the one page of its zspage: its handle is then kept outside it.
    pub const fn is_huge(&self) -> bool {
        self.objs == 1 && self.pages == 1
    }

    fn merges_with(&self, other: &Self) -> bool {
        self.pages == other.pages && self.objs == other.objs
    }
}

/// The size classes of a pool.
#[derive(Clone, Copy)]
pub struct Geometry {
    page_size: usize,
    // Size index to class index.
    merged: [u16; MAX_CLASSES],
    huge_size: usize,
    chain_limit: usize,
    // Index of the largest size.
    last_size: usize,
}

impl Geometry {
    /// Computes the classes for pages of `page_size` bytes (a power of two from 4 to 64 KiB) and
    /// chains of at most `chain_limit` pages, clamped to 4..=16.
    pub fn new(page_size: usize, chain_limit: usize) -> Self {
        let chain_limit = chain_limit.clamp(MIN_CHAIN_LIMIT, MAX_CHAIN_LIMIT);
        let mut geometry = Self {
            page_size,
            merged: [0; MAX_CLASSES],
            huge_size: 0,
            chain_limit,
            last_size: nr_sizes(page_size).saturating_sub(1),
        };
        let mut prev: Option<ClassShape> = None;
        // From the largest down: a size may only be merged into a larger one.
        for index in (0..=geometry.last_size).rev() {
            let shape = ClassShape::new(page_size, index, chain_limit);
            let class = match prev {
                Some(prev) if prev.merges_with(&shape) => prev,
                _ => shape,
            };
            if geometry.huge_size == 0 && shape.pages != 1 && shape.objs != 1 {
                // The largest size that is not huge. A request grows by the handle before it is
                // looked up, so it becomes huge that many bytes earlier.
                geometry.huge_size = (shape.size as usize).saturating_sub(HANDLE_SIZE - 1);
            }
            if let Some(entry) = geometry.merged.get_mut(index) {
                *entry = class.index;
            }
            prev = Some(class);
        }
        geometry
    }

    /// The index of the class for a request of `size` bytes (without the in-object handle).
    pub fn class_index(&self, size: usize) -> usize {
        const { assert!(nr_sizes(PAGE_SIZE) <= MAX_CLASSES) };
        // The delta is a power of two.
        let delta = class_delta(self.page_size);
        let index = size
            .saturating_add(HANDLE_SIZE)
            .saturating_add(delta.wrapping_sub(1))
            .saturating_sub(MIN_CLASS_SIZE)
            .checked_shr(delta.trailing_zeros())
            .unwrap_or(0)
            .min(self.last_size);
        self.merged
            .get(index)
            .map_or(0, |&class| usize::from(class))
    }

    /// The classes that exist, from the smallest.
    pub fn classes(&self) -> impl Iterator<Item = ClassShape> + '_ {
        (0..=self.last_size)
            .filter(|&index| self.merged.get(index).map(|&m| usize::from(m)) == Some(index))
            .map(|index| ClassShape::new(self.page_size, index, self.chain_limit))
    }

    /// The smallest request, in bytes, that gets a page of its own (`zs_huge_class_size()`).
    pub fn huge_size(&self) -> usize {
        self.huge_size
    }
}
