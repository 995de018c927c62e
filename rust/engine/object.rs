// SPDX-License-Identifier: GPL-2.0

//! An object: its slot in a zspage, and what is at its head.

use super::class::{ClassGuard, SizeClass};
use super::word::Place;
use super::zspage::Zspage;
use crate::sys::page::{read_u64_at, write_u64_at, ZsPage, PAGE_SHIFT, PAGE_SIZE};

/// An object in its zspage. The class lock keeps it there.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    class: &'a SizeClass,
    zspage: &'a Zspage,
    // Where it begins: the page, and the physical address.
    page: ZsPage,
    address: u64,
    index: usize,
}

impl<'a> Object<'a> {
    /// The object of index `index` of `zspage`, which begins at physical address `address`, on
    /// `page`.
    #[inline(always)]
    pub(super) fn new(
        class: &'a SizeClass,
        zspage: &'a Zspage,
        page: ZsPage,
        address: u64,
        index: usize,
    ) -> Self {
        Self {
            class,
            zspage,
            page,
            address,
            index,
        }
    }

    /// The object at `place` of `guard`'s class.
    ///
    /// # Safety
    ///
    /// `place` must have been read from a live word under the lock that `guard` holds.
    #[inline]
    pub(super) unsafe fn at(guard: &'a ClassGuard<'_>, place: Place) -> Option<Self> {
        // SAFETY: A live word's place names a page of a zspage, and the class lock is held.
        let (page, zspage, position) = unsafe {
            let page = ZsPage::from_pfn(place.pfn());
            (page, Zspage::of(page)?, page.position() as usize)
        };
        let start = (position << PAGE_SHIFT) | place.offset();
        let class = guard.class();
        let index = class.layout().index_at(start);
        Some(Self::new(class, zspage, page, place.address(), index))
    }

    /// Its zspage.
    pub fn zspage(&self) -> &'a Zspage {
        self.zspage
    }

    /// Where it is.
    #[inline]
    pub fn place(&self) -> Place {
        self.class.places().at(self.address, self.spans())
    }

    // Where it begins in its page.
    #[inline]
    fn offset(&self) -> usize {
        self.address as usize & (PAGE_SIZE - 1)
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

    #[inline]
    fn spans(&self) -> bool {
        self.offset().wrapping_add(self.class.shape().size as usize) > PAGE_SIZE
    }

    /// The handle at the head of the object. What a free one has there says nothing.
    #[inline]
    pub fn head(&self) -> u64 {
        // SAFETY: The page belongs to the object's zspage, and the address of an object is a
        // multiple of eight.
        unsafe {
            if self.class.places().is_huge() {
                self.page.huge_head()
            } else {
                read_u64_at(self.address)
            }
        }
    }

    /// Writes the head of the object.
    #[inline]
    pub(super) fn set_head(&self, head: u64) {
        // SAFETY: As in `head`; the class lock is held, and nobody can have the head mapped.
        unsafe {
            if self.class.places().is_huge() {
                self.page.set_huge_head(head);
            } else {
                write_u64_at(self.address, head);
            }
        }
    }

    /// Gives the object back to its zspage. Its slot is open then.
    #[inline(always)]
    pub(super) fn release(&self) {
        self.zspage.release(self.index);
    }

    /// Whether its neighbours are seen at once to be in use, and to keep its pages so. Only if no
    /// page of the zspage is missing: then what is closed is in use.
    #[inline(always)]
    pub(super) fn keeps_its_pages(&self) -> bool {
        let (zspage, offset) = (self.zspage, self.offset());
        let end = offset.wrapping_add(self.class.shape().size as usize);
        // A neighbour touches the page only if it does not end, or begin, with the page. Behind the
        // last one is nothing.
        let next = self.index.wrapping_add(1);
        let before = offset != 0 && zspage.is_closed(self.index.wrapping_sub(1));
        let after = end & (PAGE_SIZE - 1) != 0
            && next < usize::from(self.class.shape().objs)
            && zspage.is_closed(next);
        let kept = if end <= PAGE_SIZE {
            before || after
        } else {
            before && after
        };
        kept && zspage.is_complete()
    }

    /// The pages that the object is on: one, or two.
    #[inline]
    pub(super) fn pages(&self) -> (ZsPage, Option<ZsPage>) {
        if !self.spans() {
            return (self.page, None);
        }
        // SAFETY: The page belongs to the object's zspage.
        (self.page, unsafe { self.page.next() })
    }

    /// Copies the object, its head included, to `to`, an object of the same class.
    ///
    /// Nobody may have either mapped.
    pub(super) fn copy_to(&self, to: &Object<'_>) {
        let size = self.class.shape().size as usize;
        if self.class.places().is_huge() {
            to.set_head(self.head());
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
            // SAFETY: Pages of the two zspages, as above. An object that goes on past a page has
            // a next one.
            unsafe {
                if from_offset == PAGE_SIZE {
                    let Some(next) = from_page.next() else { return };
                    (from_page, from_offset) = (next, 0);
                }
                if to_offset == PAGE_SIZE {
                    let Some(next) = to_page.next() else { return };
                    (to_page, to_offset) = (next, 0);
                }
            }
        }
    }
}
