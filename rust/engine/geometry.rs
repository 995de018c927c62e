// SPDX-License-Identifier: GPL-2.0

//! Size classes: which sizes exist, how many pages a zspage of each has, which are merged.
//!
//! The kernel's `mm/zsmalloc.c` picks the chain that leaves the fewest bytes at its end, whatever
//! that is per object, and has a class for every 16 bytes. As pages of a zspage come one by one
//! here, a long chain costs nothing until it is used; so the chain is the one with the fewest bytes
//! per object, of pages and of the zspage's structure, and there is a class for every 8 bytes, the
//! alignment of objects. (Both with pages of 4 KiB, and before classes of one shape are merged.)

#![forbid(unsafe_code)]

use crate::sys::page::PAGE_SIZE;

/// Bytes that the handle takes behind an object (not in the huge class).
pub const HANDLE_SIZE: usize = 4;

/// Size classes are a multiple of this many bytes, and so are the addresses of mapped objects.
pub const ALIGN: usize = 8;

/// Smallest size class, in bytes, unless pages are large.
pub const MIN_CLASS_SIZE: usize = 32;

/// Bounds of the longest chain a pool may be asked for, in pages.
pub const MIN_CHAIN_LIMIT: usize = 4;
/// See [`MIN_CHAIN_LIMIT`].
pub const MAX_CHAIN_LIMIT: usize = 16;
/// What a pool gets if nobody asks. (`CONFIG_ZSMALLOC_CHAIN_SIZE` is 8 unless changed.)
pub const DEFAULT_CHAIN_LIMIT: usize = 16;

/// The most size classes, at any page size: the delta between them is a 512th of a page.
pub const MAX_CLASSES: usize = 512;

/// What a zspage takes beside its pages, in bytes: see [`super::zspage::Zspage`].
pub const ZSPAGE_SIZE: usize = 56;

// Division that cannot panic: no size here is ever zero, but the compiler does not know.
const fn div(a: usize, b: usize) -> usize {
    match a.checked_div(b) {
        Some(quotient) => quotient,
        None => 0,
    }
}

/// Bytes between two neighbouring size classes.
pub const fn class_delta(page_size: usize) -> usize {
    page_size >> 9
}

/// The smallest size, in bytes: [`MIN_CLASS_SIZE`], or the distance between two if that is more.
pub const fn min_class_size(page_size: usize) -> usize {
    let delta = class_delta(page_size);
    if delta > MIN_CLASS_SIZE {
        delta
    } else {
        MIN_CLASS_SIZE
    }
}

/// How many sizes there are before merging.
pub const fn nr_sizes(page_size: usize) -> usize {
    let delta = class_delta(page_size);
    let span = page_size.saturating_sub(min_class_size(page_size));
    div(span.saturating_add(delta).saturating_sub(1), delta).saturating_add(1)
}

/// The size in bytes of the class of index `index`.
pub const fn class_size(page_size: usize, index: usize) -> usize {
    let size = class_delta(page_size)
        .saturating_mul(index)
        .saturating_add(min_class_size(page_size));
    if size > page_size {
        page_size
    } else {
        size
    }
}

// The index of the smallest size that has room for `size` bytes and the handle; the last for more.
#[inline(always)]
const fn size_index(page_size: usize, size: usize) -> usize {
    let delta = class_delta(page_size);
    // With the handle, an object may be larger than a page: then it is huge, and has none.
    let most = page_size.wrapping_sub(HANDLE_SIZE);
    let size = if size > most { most } else { size };
    let above = size.saturating_sub(min_class_size(page_size).wrapping_sub(HANDLE_SIZE));
    div(above.wrapping_add(delta).wrapping_sub(1), delta)
}

/// The number of pages, at most `limit`, of a zspage for objects of `size` bytes: the shortest of
/// the chains that take the fewest bytes per object. It is one if each object needs a page, or
/// fills it.
pub const fn chain_length(page_size: usize, size: usize, limit: usize) -> usize {
    let mut best: usize = 1;
    let mut best_objs = objs_per_zspage(page_size, size, best);
    let mut pages: usize = 2;
    while pages <= limit {
        let objs = objs_per_zspage(page_size, size, pages);
        if objs > max_objs_per_zspage(page_size) {
            break;
        }
        // Both sides times both numbers of objects. Far from overflowing: the largest is 16 pages
        // times 2048 objects.
        let bytes = pages.wrapping_mul(page_size).wrapping_add(ZSPAGE_SIZE);
        let best_bytes = best.wrapping_mul(page_size).wrapping_add(ZSPAGE_SIZE);
        if objs > pages && bytes.wrapping_mul(best_objs) < best_bytes.wrapping_mul(objs) {
            (best, best_objs) = (pages, objs);
        }
        pages = pages.wrapping_add(1);
    }
    best
}

/// How many objects of `size` bytes fit in `pages` pages.
pub const fn objs_per_zspage(page_size: usize, size: usize, pages: usize) -> usize {
    div(pages.wrapping_mul(page_size), size)
}

/// The most objects that any zspage can hold: as many as the smallest objects on one page.
pub(super) const fn max_objs_per_zspage(page_size: usize) -> usize {
    div(page_size, MIN_CLASS_SIZE)
}

/// What one size class looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassShape {
    /// Bytes per object, the handle behind it included.
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
        // `max_objs_per_zspage()` of that is 2048.
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
    // By size index: how many sizes above it the class is that the size is merged into.
    above: [u8; MAX_CLASSES],
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
            above: [0; MAX_CLASSES],
            huge_size: 0,
            chain_limit,
            last_size: nr_sizes(page_size).saturating_sub(1),
        };
        let mut prev: Option<ClassShape> = None;
        // From the largest down: a size may only be merged into a larger one.
        for index in (0..=geometry.last_size).rev() {
            let shape = ClassShape::new(page_size, index, chain_limit);
            let (class, above) = match prev {
                Some(prev) if prev.merges_with(&shape) => {
                    let above = usize::from(prev.index).wrapping_sub(index);
                    // Always: of the largest sizes a chain of four pages has five.
                    match u8::try_from(above) {
                        Ok(above) => (prev, above),
                        Err(_) => (shape, 0),
                    }
                }
                _ => (shape, 0),
            };
            if geometry.huge_size == 0 && shape.pages != 1 && shape.objs != 1 {
                // The largest size that is not huge. A request grows by the handle before it is
                // looked up, so it becomes huge that many bytes earlier.
                geometry.huge_size = (shape.size as usize).saturating_sub(HANDLE_SIZE - 1);
            }
            if let Some(entry) = geometry.above.get_mut(index) {
                *entry = above;
            }
            prev = Some(class);
        }
        geometry
    }

    /// The index of the class for a request of `size` bytes (without the handle behind it), at most
    /// a page.
    #[inline(always)]
    pub fn class_index(&self, size: usize) -> usize {
        const { assert!(nr_sizes(PAGE_SIZE) <= MAX_CLASSES && MAX_CLASSES.is_power_of_two()) };
        // Constants make this short where it has to be.
        let index = if self.page_size == PAGE_SIZE {
            size_index(PAGE_SIZE, size)
        } else {
            size_index(self.page_size, size)
        };
        let index = index & (MAX_CLASSES - 1);
        let above = self.above.get(index).map_or(0, |&above| above.into());
        index.wrapping_add(above)
    }

    /// What the class of index `index` looks like, if there is one.
    pub fn shape(&self, index: usize) -> Option<ClassShape> {
        (index <= self.last_size && self.above.get(index) == Some(&0))
            .then(|| ClassShape::new(self.page_size, index, self.chain_limit))
    }

    /// The classes that exist, from the smallest.
    pub fn classes(&self) -> impl Iterator<Item = ClassShape> + '_ {
        (0..=self.last_size).filter_map(|index| self.shape(index))
    }

    /// The smallest request, in bytes, that gets a page of its own (`zs_huge_class_size()`).
    pub fn huge_size(&self) -> usize {
        self.huge_size
    }
}
