// SPDX-License-Identifier: GPL-2.0

//! An object: a slot of a zspage, and the handle stored after the object.

use super::class::{ClassGuard, SizeClass};
use super::geometry::HANDLE_SIZE;
use super::handle_entry::ObjLocation;
use super::zspage::Zspage;
use crate::sys::page::{read_u32_at, write_u32_at, ZsPage, PAGE_SHIFT, PAGE_SIZE};

/// An object in its zspage. It stays there while the class lock is held.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    class: &'a SizeClass,
    zspage: &'a Zspage,
    // The location of the first byte, its page, and the page that the object continues on.
    location: ObjLocation,
    page: ZsPage,
    next: Option<ZsPage>,
    index: usize,
}

impl<'a> Object<'a> {
    /// Returns the object in slot `index` of `zspage`, which begins at `offset` of `page`. Returns
    /// `None` if it spans pages and the second page is missing.
    ///
    /// # Safety
    ///
    /// `page` must belong to `zspage` as long as the object is used.
    #[inline(always)]
    pub(super) unsafe fn new(
        class: &'a SizeClass,
        zspage: &'a Zspage,
        page: ZsPage,
        offset: usize,
        index: usize,
    ) -> Option<Self> {
        let address = ((page.pfn() as u64) << PAGE_SHIFT) | offset as u64;
        let spans = offset.wrapping_add(class.shape().size as usize) > PAGE_SIZE;
        // SAFETY: `page` belongs to `zspage` (safety requirement). `address` is the object's.
        unsafe {
            Self::of(
                class,
                zspage,
                page,
                class.location_flags().at(address, spans),
                index,
            )
        }
    }

    /// Returns the object of `zspage` at `location`, on `page`.
    ///
    /// # Safety
    ///
    /// The caller must have locked the entry that `location` came from. `page` must belong to
    /// `zspage`, and that to the class of `guard`.
    #[inline(always)]
    pub(super) unsafe fn at(
        guard: &'a ClassGuard<'_>,
        zspage: &'a Zspage,
        page: ZsPage,
        location: ObjLocation,
    ) -> Option<Self> {
        // SAFETY: `page` belongs to `zspage` while the entry is locked (safety requirements).
        let position = unsafe { page.position() } as usize;
        let class = guard.class();
        let index = class
            .layout()
            .index_at((position << PAGE_SHIFT) | location.offset());
        // SAFETY: `page` belongs to `zspage` (safety requirement). `location` came from its entry.
        unsafe { Self::of(class, zspage, page, location, index) }
    }

    /// # Safety
    ///
    /// As for [`Object::new`]. `location` must be the location of slot `index` of `zspage`.
    #[inline(always)]
    unsafe fn of(
        class: &'a SizeClass,
        zspage: &'a Zspage,
        page: ZsPage,
        location: ObjLocation,
        index: usize,
    ) -> Option<Self> {
        let next = if location.spans() {
            // SAFETY: `page` belongs to a zspage (safety requirement of `Object::new`), which is
            // not huge. The class lock is held, so the chain does not change.
            Some(unsafe { page.next() }?)
        } else {
            None
        };
        Some(Self {
            class,
            zspage,
            page,
            location,
            next,
            index,
        })
    }

    /// Returns the zspage.
    pub fn zspage(&self) -> &'a Zspage {
        self.zspage
    }

    /// Returns the location.
    #[inline]
    pub fn location(&self) -> ObjLocation {
        self.location
    }

    // Returns the offset of the object in its page.
    #[inline]
    fn offset(&self) -> usize {
        self.location.offset()
    }

    /// Returns the position of the page that the object begins on.
    pub fn position(&self) -> u32 {
        // SAFETY: The page belongs to the zspage while the object is used (requirement of `new`).
        unsafe { self.page.position() }
    }

    /// Returns the slot of the object.
    pub fn index(&self) -> usize {
        self.index
    }

    // Returns the physical address of the handle after the object. Sizes and locations are
    // multiples of eight, so if the object spans pages, its handle is on the second.
    #[inline]
    fn handle_address(&self) -> u64 {
        let behind = (self.class.shape().size as usize).wrapping_sub(HANDLE_SIZE);
        let offset = self.offset().wrapping_add(behind);
        match self.next {
            Some(next) => ((next.pfn() as u64) << PAGE_SHIFT) | (offset & (PAGE_SIZE - 1)) as u64,
            None => self.location.address().wrapping_add(behind as u64),
        }
    }

    /// Returns the handle stored after the object: see [`super::handle_table::Handle::in_object`].
    /// Meaningless for a free slot.
    #[inline]
    pub fn handle(&self) -> u32 {
        // SAFETY: The pages belong to the zspage as long as the object is used, by the requirements
        // of `new`. Sizes and locations are multiples of eight, so the address is a multiple of
        // four.
        unsafe {
            if self.location.is_huge() {
                self.page.huge_handle()
            } else {
                read_u32_at(self.handle_address())
            }
        }
    }

    /// Stores the handle after the object.
    #[inline]
    pub(super) fn set_handle(&self, handle: u32) {
        // SAFETY: The pages belong to the zspage, and the address is a multiple of four: see
        // `handle`. The caller holds the class lock, which protects these bytes, and mappings leave
        // them out.
        unsafe {
            if self.location.is_huge() {
                self.page.set_huge_handle(handle);
            } else {
                write_u32_at(self.handle_address(), handle);
            }
        }
    }

    /// Frees the slot of the object in its zspage.
    #[inline(always)]
    pub(super) fn release(&self) {
        self.zspage.release(self.index, self.page);
    }

    /// Returns whether objects next to this one are in use on all of its pages.
    #[inline(always)]
    pub(super) fn keeps_its_pages(&self) -> bool {
        let (zspage, start) = (self.zspage, self.offset());
        let size = self.class.shape().size as usize;
        let end = start.wrapping_add(size);
        // A neighbour is on another page if this object begins or ends at a page boundary.
        let next = self.index.wrapping_add(1);
        let before = start != 0 && zspage.is_taken(self.index.wrapping_sub(1));
        let after = end & (PAGE_SIZE - 1) != 0
            && next < usize::from(self.class.shape().objs)
            && zspage.is_taken(next);
        if zspage.is_complete() {
            return keeps(before, after, end);
        }
        // A neighbour is in use if its slot is taken, and the other page that it spans is present.
        let position = self.position() as usize;
        let last = position.wrapping_add(usize::from(end > PAGE_SIZE));
        let before = before && (start >= size || zspage.is_present(position.wrapping_sub(1)));
        let after = after
            && ((end & (PAGE_SIZE - 1)).wrapping_add(size) <= PAGE_SIZE
                || zspage.is_present(last.wrapping_add(1)));
        keeps(before, after, end)
    }

    /// Returns the pages of the object, one or two.
    #[inline]
    pub(super) fn pages(&self) -> (ZsPage, Option<ZsPage>) {
        (self.page, self.next)
    }

    /// Copies the object, including the handle after it, to `to`, an object of the same class.
    ///
    /// Neither may be mapped: the caller has locked the entry of `self`, and no entry has the
    /// location of `to` yet.
    pub(super) fn copy_to(&self, to: &Object<'_>) {
        let size = self.class.shape().size as usize;
        if self.location.is_huge() {
            to.set_handle(self.handle());
        }
        let (mut from_page, mut from_offset) = (self.page, self.offset());
        let (mut to_page, mut to_offset) = (to.page, to.offset());
        let mut left = size;
        loop {
            let bytes = left
                .min(PAGE_SIZE.saturating_sub(from_offset))
                .min(PAGE_SIZE.saturating_sub(to_offset));
            // SAFETY: Both pages belong to zspages of a class whose lock is held. The ranges are
            // inside them, and apart. Neither object is mapped, as the caller guarantees.
            unsafe { from_page.copy_to(from_offset, to_page, to_offset, bytes) };
            left = left.saturating_sub(bytes);
            if left == 0 {
                return;
            }
            from_offset = from_offset.wrapping_add(bytes);
            to_offset = to_offset.wrapping_add(bytes);
            if from_offset == PAGE_SIZE {
                let Some(next) = self.next else { return };
                (from_page, from_offset) = (next, 0);
            }
            if to_offset == PAGE_SIZE {
                let Some(next) = to.next else { return };
                (to_page, to_offset) = (next, 0);
            }
        }
    }
}

// Returns whether the previous or the next object, or both together, touch all pages of this one.
#[inline(always)]
fn keeps(before: bool, after: bool, end: usize) -> bool {
    if end <= PAGE_SIZE {
        before || after
    } else {
        before && after
    }
}
