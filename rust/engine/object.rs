// SPDX-License-Identifier: GPL-2.0

//! An object: its slot in a zspage, and the handle behind it.

use super::class::{ClassGuard, SizeClass};
use super::geometry::HANDLE_SIZE;
use super::handle_entry::ObjLocation;
use super::zspage::Zspage;
use crate::sys::page::{read_u32_at, write_u32_at, ZsPage, PAGE_SHIFT, PAGE_SIZE};

/// An object in its zspage. The class lock keeps it there.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    class: &'a SizeClass,
    zspage: &'a Zspage,
    // Where it begins, on which page, and the one on which it goes on.
    location: ObjLocation,
    page: ZsPage,
    next: Option<ZsPage>,
    index: usize,
}

impl<'a> Object<'a> {
    /// The object of index `index` of `zspage`, which begins at `offset` of `page`. `None` if it
    /// goes on in the next page, and there is none.
    ///
    /// # Safety
    ///
    /// The page must be the zspage's, and stay so while the object is used.
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
        // SAFETY: The caller's promise.
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

    /// The object of `zspage` at `location`, on `page`.
    ///
    /// # Safety
    ///
    /// The entry that has the location must be locked; the page must be the zspage's, which must be of
    /// `guard`'s class.
    #[inline(always)]
    pub(super) unsafe fn at(
        guard: &'a ClassGuard<'_>,
        zspage: &'a Zspage,
        page: ZsPage,
        location: ObjLocation,
    ) -> Option<Self> {
        // SAFETY: The page stays the zspage's, as the entry is locked.
        let position = unsafe { page.position() } as usize;
        let class = guard.class();
        let index = class
            .layout()
            .index_at((position << PAGE_SHIFT) | location.offset());
        // SAFETY: As above.
        unsafe { Self::of(class, zspage, page, location, index) }
    }

    /// # Safety
    ///
    /// As for [`Object::new`]; `location` must be that of the object.
    #[inline(always)]
    unsafe fn of(
        class: &'a SizeClass,
        zspage: &'a Zspage,
        page: ZsPage,
        location: ObjLocation,
        index: usize,
    ) -> Option<Self> {
        let next = if location.spans() {
            // SAFETY: The caller's promise.
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

    /// Its zspage.
    pub fn zspage(&self) -> &'a Zspage {
        self.zspage
    }

    /// Where it is.
    #[inline]
    pub fn location(&self) -> ObjLocation {
        self.location
    }

    // Where it begins in its page.
    #[inline]
    fn offset(&self) -> usize {
        self.location.offset()
    }

    /// Position of the page that it begins on.
    pub fn position(&self) -> u32 {
        // SAFETY: The page belongs to the object's zspage.
        unsafe { self.page.position() }
    }

    /// Its index in the zspage.
    pub fn index(&self) -> usize {
        self.index
    }

    // The physical address of the handle behind it. If it spans pages, that is on the second, as
    // sizes and locations are multiples of eight.
    #[inline]
    fn handle_address(&self) -> u64 {
        let behind = (self.class.shape().size as usize).wrapping_sub(HANDLE_SIZE);
        let offset = self.offset().wrapping_add(behind);
        match self.next {
            Some(next) => ((next.pfn() as u64) << PAGE_SHIFT) | (offset & (PAGE_SIZE - 1)) as u64,
            None => self.location.address().wrapping_add(behind as u64),
        }
    }

    /// The handle that is kept behind the object: see [`super::handle_table::Handle::in_object`].
    /// What a free one has there says nothing.
    #[inline]
    pub fn handle(&self) -> u32 {
        // SAFETY: The pages belong to the object's zspage, sizes are multiples of eight, and so are
        // the addresses of objects.
        unsafe {
            if self.location.is_huge() {
                self.page.huge_handle()
            } else {
                read_u32_at(self.handle_address())
            }
        }
    }

    /// Writes the handle behind the object.
    #[inline]
    pub(super) fn set_handle(&self, handle: u32) {
        // SAFETY: As in `handle`; the class lock is held, and nobody maps what is behind an object.
        unsafe {
            if self.location.is_huge() {
                self.page.set_huge_handle(handle);
            } else {
                write_u32_at(self.handle_address(), handle);
            }
        }
    }

    /// Gives the object back to its zspage. Its slot is free then.
    #[inline(always)]
    pub(super) fn release(&self) {
        self.zspage.release(self.index, self.page);
    }

    /// Whether its neighbours are in use, and keep its pages so.
    #[inline(always)]
    pub(super) fn keeps_its_pages(&self) -> bool {
        let (zspage, start) = (self.zspage, self.offset());
        let size = self.class.shape().size as usize;
        let end = start.wrapping_add(size);
        // A neighbour touches the page only if it does not end, or begin, with the page. Behind the
        // last one is nothing.
        let next = self.index.wrapping_add(1);
        let before = start != 0 && zspage.is_taken(self.index.wrapping_sub(1));
        let after = end & (PAGE_SIZE - 1) != 0
            && next < usize::from(self.class.shape().objs)
            && zspage.is_taken(next);
        if zspage.is_complete() {
            return keeps(before, after, end);
        }
        // One that is taken is in use if it is on no other page, or that is there, too.
        let position = self.position() as usize;
        let last = position.wrapping_add(usize::from(end > PAGE_SIZE));
        let before = before && (start >= size || zspage.is_present(position.wrapping_sub(1)));
        let after = after
            && ((end & (PAGE_SIZE - 1)).wrapping_add(size) <= PAGE_SIZE
                || zspage.is_present(last.wrapping_add(1)));
        keeps(before, after, end)
    }

    /// The pages that the object is on: one, or two.
    #[inline]
    pub(super) fn pages(&self) -> (ZsPage, Option<ZsPage>) {
        (self.page, self.next)
    }

    /// Copies the object, the handle included, to `to`, an object of the same class.
    ///
    /// Nobody may have either mapped.
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
            // SAFETY: Both pages belong to zspages of a class whose lock is held, the ranges are
            // inside them, and no object is mapped.
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

// Whether the object in front of one, the one behind it, or both are on all of its pages.
#[inline(always)]
fn keeps(before: bool, after: bool, end: usize) -> bool {
    if end <= PAGE_SIZE {
        before || after
    } else {
        before && after
    }
}
