// SPDX-License-Identifier: GPL-2.0

//! Size classes: object sizes, chain lengths, and merging of classes.
//!
//! C zsmalloc picks the chain length that wastes the fewest bytes at its end, and has a class every
//! 16 bytes. Here pages of a zspage are allocated one by one, so a long chain costs nothing until
//! it is used. The chain length is therefore the one with the fewest bytes per object, counting
//! pages and `struct Zspage`. There is a class every 8 bytes, the alignment of objects. (Both
//! numbers are for 4-KiB pages, before classes of equal geometry are merged.)
//!
//! The last page of each class is half empty, on average. With larger pages a pool of as many bytes
//! has fewer objects, so this costs more than it costs to round sizes up. Classes are then twice as
//! far apart, in parts of a page: as far as in C. See `Documentation/performance.rst`.

#![forbid(unsafe_code)]

use crate::sys::page::PAGE_SIZE;

/// Bytes of the handle after an object. Huge objects have none.
pub const HANDLE_SIZE: usize = 4;

/// Alignment of object sizes, and of the addresses of mapped objects, in bytes.
pub const ALIGN: usize = 8;

/// Smallest size class in bytes, with pages of 4 KiB.
pub const MIN_CLASS_SIZE: usize = 32;

/// Smallest and largest chain limit of a pool, in pages.
pub const MIN_CHAIN_LIMIT: usize = 4;
/// See [`MIN_CHAIN_LIMIT`].
pub const MAX_CHAIN_LIMIT: usize = 16;
/// Default chain limit. (The default of `CONFIG_ZSMALLOC_CHAIN_SIZE` is 8.)
pub const DEFAULT_CHAIN_LIMIT: usize = 16;

/// Upper bound of the number of size classes: they are at least 1/512 of a page apart.
pub const MAX_CLASSES: usize = 512;

/// Returns the size of [`super::zspage::Zspage`] in bytes: 56 with pages of 4 KiB. It has a bit per slot.
pub const fn zspage_size(page_size: usize) -> usize {
    max_objs_per_zspage(page_size)
        .div_ceil(64)
        .wrapping_mul(8)
        .wrapping_add(40)
}

// A division that cannot panic. Sizes are never zero, but the compiler cannot see that.
const fn div(a: usize, b: usize) -> usize {
    match a.checked_div(b) {
        Some(quotient) => quotient,
        None => 0,
    }
}

/// Returns the distance between two size classes, in bytes.
pub const fn class_delta(page_size: usize) -> usize {
    if page_size <= 4096 {
        page_size >> 9
    } else {
        page_size >> 8
    }
}

/// Returns the smallest size class in bytes: [`MIN_CLASS_SIZE`], or the delta if that is larger.
pub const fn min_class_size(page_size: usize) -> usize {
    let delta = class_delta(page_size);
    if delta > MIN_CLASS_SIZE {
        delta
    } else {
        MIN_CLASS_SIZE
    }
}

/// Returns the number of sizes before merging.
pub const fn nr_sizes(page_size: usize) -> usize {
    let delta = class_delta(page_size);
    let span = page_size.saturating_sub(min_class_size(page_size));
    div(span.saturating_add(delta).saturating_sub(1), delta).saturating_add(1)
}

/// Returns the size of class `index` in bytes.
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

// Returns the index of the smallest size that fits `size` bytes and the handle, or the last index.
#[inline]
const fn size_index(page_size: usize, size: usize) -> usize {
    let delta = class_delta(page_size);
    // An object that does not fit in a page with its handle is huge. Huge objects have none.
    let most = page_size.wrapping_sub(HANDLE_SIZE);
    let size = if size > most { most } else { size };
    let above = size.saturating_sub(min_class_size(page_size).wrapping_sub(HANDLE_SIZE));
    div(above.wrapping_add(delta).wrapping_sub(1), delta)
}

/// Returns the chain length for objects of `size` bytes, at most `limit` pages: the shortest chain
/// with the fewest bytes per object. It is one if no chain fits more objects than it has pages.
pub const fn chain_length(page_size: usize, size: usize, limit: usize) -> usize {
    let mut best: usize = 1;
    let mut best_objs = objs_per_zspage(page_size, size, best);
    let mut pages: usize = 2;
    while pages <= limit {
        let objs = objs_per_zspage(page_size, size, pages);
        if objs > max_objs_per_zspage(page_size) {
            break;
        }
        // Cross-multiplied to compare fractions. 16 pages times 256 objects is far from overflow.
        let zspage = zspage_size(page_size);
        let bytes = pages.wrapping_mul(page_size).wrapping_add(zspage);
        let best_bytes = best.wrapping_mul(page_size).wrapping_add(zspage);
        if objs > pages && bytes.wrapping_mul(best_objs) < best_bytes.wrapping_mul(objs) {
            (best, best_objs) = (pages, objs);
        }
        pages = pages.wrapping_add(1);
    }
    best
}

/// Returns how many objects of `size` bytes fit in `pages` pages.
pub const fn objs_per_zspage(page_size: usize, size: usize, pages: usize) -> usize {
    div(pages.wrapping_mul(page_size), size)
}

/// Returns the most objects that any zspage can hold: as many of the smallest as fit in one page.
pub(super) const fn max_objs_per_zspage(page_size: usize) -> usize {
    div(page_size, min_class_size(page_size))
}

/// The geometry of a size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassShape {
    /// Bytes per object, including the handle after it.
    pub size: u32,
    /// Index of the class: the index of the largest size merged into it.
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
        // The casts lose nothing: sizes are at most 64 KiB, and objects per zspage at most 256.
        Self {
            size: size as u32,
            index: index as u16,
            objs: objs_per_zspage(page_size, size, pages) as u16,
            pages: pages as u8,
        }
    }

    /// Returns whether an object has a page for itself. Its handle is then stored in `struct page`.
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
    // By size index: the distance to the index of the class that the size is merged into.
    above: [u8; MAX_CLASSES],
    huge_size: usize,
    chain_limit: usize,
    // Index of the largest size.
    last_size: usize,
}

impl Geometry {
    /// Computes the size classes for pages of `page_size` bytes, a power of two from 4 to 64 KiB.
    /// `chain_limit` is the longest chain in pages, clamped to 4..=16.
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
        // Sizes are merged into larger ones only, so start with the largest.
        for index in (0..=geometry.last_size).rev() {
            let shape = ClassShape::new(page_size, index, chain_limit);
            let (class, above) = match prev {
                Some(prev) if prev.merges_with(&shape) => {
                    let above = usize::from(prev.index).wrapping_sub(index);
                    // This always fits. The huge class merges the most sizes, and at most a fifth
                    // of the 512: four pages hold five objects of up to 4/5 of a page.
                    match u8::try_from(above) {
                        Ok(above) => (prev, above),
                        Err(_) => (shape, 0),
                    }
                }
                _ => (shape, 0),
            };
            if geometry.huge_size == 0 && shape.pages != 1 && shape.objs != 1 {
                // This is the largest size that is not huge. The handle is added to a request
                // before the lookup, so the limit for requests is lower by that.
                geometry.huge_size = (shape.size as usize).saturating_sub(HANDLE_SIZE - 1);
            }
            if let Some(entry) = geometry.above.get_mut(index) {
                *entry = above;
            }
            prev = Some(class);
        }
        geometry
    }

    /// Returns the class index for a request of `size` bytes, without the handle, at most a page.
    #[inline]
    pub fn class_index(&self, size: usize) -> usize {
        const { assert!(nr_sizes(PAGE_SIZE) <= MAX_CLASSES && MAX_CLASSES.is_power_of_two()) };
        // A constant page size makes the kernel's lookup short.
        let index = if self.page_size == PAGE_SIZE {
            size_index(PAGE_SIZE, size)
        } else {
            size_index(self.page_size, size)
        };
        let index = index & (MAX_CLASSES - 1);
        let above = self.above.get(index).map_or(0, |&above| above.into());
        index.wrapping_add(above)
    }

    /// Returns the geometry of class `index`, or `None` if that size is merged or does not exist.
    pub fn shape(&self, index: usize) -> Option<ClassShape> {
        (index <= self.last_size && self.above.get(index) == Some(&0))
            .then(|| ClassShape::new(self.page_size, index, self.chain_limit))
    }

    /// Returns the geometry of all classes, the smallest first.
    pub fn classes(&self) -> impl Iterator<Item = ClassShape> + '_ {
        (0..=self.last_size).filter_map(|index| self.shape(index))
    }

    /// Returns the smallest request in bytes that gets a page of its own (`zs_huge_class_size()`).
    pub fn huge_size(&self) -> usize {
        self.huge_size
    }
}
