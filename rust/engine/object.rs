// SPDX-License-Identifier: GPL-2.0

//! An object: a slot of a zspage, and the handle stored after the object.

use super::class::{ClassGuard, SizeClass};
use super::geometry::HANDLE_SIZE;
use super::handle_entry::ObjLocation;
use super::locked_entry::HeldEntry;
use super::zspage::Zspage;
use crate::sys::chain::Chain;
use crate::sys::page::{PageWord, ZsPage, PAGE_SHIFT, PAGE_SIZE};

/// An object in its zspage. It stays there while the class lock is held.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    class: &'a SizeClass,
    zspage: &'a Zspage,
    chain: &'a Chain,
    // The location of the first byte, its page, and the page that the object continues on.
    location: ObjLocation,
    page: ZsPage<'a>,
    next: Option<ZsPage<'a>>,
    index: usize,
}

impl<'a> Object<'a> {
    /// Takes the first free slot of `zspage` below `end`. Returns its object, which has no handle yet.
    #[inline]
    pub(super) fn take_first_below(
        guard: &'a ClassGuard<'_>,
        zspage: &'a Zspage,
        end: usize,
    ) -> Option<Self> {
        let chain = zspage.chain(guard)?;
        let object = Self::in_slot(guard, zspage, chain, zspage.take_first_below(end)?)?;
        zspage.object_allocated();
        Some(object)
    }

    /// Returns the object in slot `index`, which is in use.
    #[inline]
    pub(super) fn at(guard: &'a ClassGuard<'_>, zspage: &'a Zspage, index: usize) -> Option<Self> {
        Self::in_slot(guard, zspage, zspage.chain(guard)?, index)
    }

    /// Returns the object in slot `index` if it is in use.
    pub(super) fn used(
        guard: &'a ClassGuard<'_>,
        zspage: &'a Zspage,
        index: usize,
    ) -> Option<Self> {
        let chain = zspage.chain(guard)?;
        if zspage.is_used(index) {
            Self::in_slot(guard, zspage, chain, index)
        } else {
            None
        }
    }

    // Returns the object in slot `index`, in use or not, if its pages are present.
    #[inline]
    fn in_slot(
        guard: &'a ClassGuard<'_>,
        zspage: &'a Zspage,
        chain: &'a Chain,
        index: usize,
    ) -> Option<Self> {
        let class = guard.class();
        let start = class.layout().offset(index);
        let page = chain.find((start >> PAGE_SHIFT) as u32)?;
        let offset = start & (PAGE_SIZE - 1);
        let address = ((page.pfn() as u64) << PAGE_SHIFT) | offset as u64;
        let spans = offset.wrapping_add(class.shape().size as usize) > PAGE_SIZE;
        let location = class.location_flags().at(address, spans);
        let next = || chain.next_of_found();
        Self::new(class, zspage, chain, page, next, location, index)
    }

    /// Returns the object of an entry. Returns `None` if it is not of the class of `guard`.
    #[inline]
    pub(super) fn of_entry(guard: &'a ClassGuard<'_>, entry: &HeldEntry<'_>) -> Option<Self> {
        // SAFETY: The zspage exists while the entry is held. `chain` checks that it is of the
        // class of `guard`. Then it exists for `'a`: a zspage of the class is freed only with the
        // guard consumed or borrowed exclusively (`IsolatedZspage`).
        let zspage: &'a Zspage = unsafe { &*core::ptr::from_ref(entry.zspage()?) };
        let chain = zspage.chain(guard)?;
        let (page, location) = (chain.own(entry.page())?, entry.location());
        let class = guard.class();
        let start = (page.position() as usize) << PAGE_SHIFT;
        let index = class.layout().index_at(start | location.offset());
        let next = || chain.next(page);
        Self::new(class, zspage, chain, page, next, location, index)
    }

    // `next` finds the page that the object continues on.
    #[inline]
    fn new(
        class: &'a SizeClass,
        zspage: &'a Zspage,
        chain: &'a Chain,
        page: ZsPage<'a>,
        next: impl FnOnce() -> Option<ZsPage<'a>>,
        location: ObjLocation,
        index: usize,
    ) -> Option<Self> {
        let next = if location.spans() {
            Some(next()?)
        } else {
            None
        };
        Some(Self {
            class,
            zspage,
            chain,
            location,
            page,
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

    /// Returns the slot of the object.
    pub fn index(&self) -> usize {
        self.index
    }

    // Returns the handle after the object. Sizes and locations are multiples of eight, so if the
    // object spans pages, its handle is on the second.
    #[inline]
    fn word(&self) -> PageWord<'a> {
        let behind = (self.class.shape().size as usize).wrapping_sub(HANDLE_SIZE);
        // SAFETY: The object is inside its pages, and a handle is four bytes at its end. So each
        // address is inside its page. It is a multiple of four, as sizes and locations are.
        unsafe {
            match self.next {
                Some(next) => {
                    let offset = self.offset().wrapping_add(behind) & (PAGE_SIZE - 1);
                    next.word(((next.pfn() as u64) << PAGE_SHIFT) | offset as u64)
                }
                None => {
                    let address = self.location.address().wrapping_add(behind as u64);
                    self.page.word(address)
                }
            }
        }
    }

    /// Returns the handle stored after the object: see [`super::handle_table::Handle::in_object`].
    /// Meaningless for a free slot.
    #[inline]
    pub fn handle(&self) -> u32 {
        if self.location.is_huge() {
            self.page.huge_handle()
        } else {
            self.word().get()
        }
    }

    /// Stores the handle after the object.
    #[inline]
    pub(super) fn set_handle(&self, handle: u32) {
        if self.location.is_huge() {
            self.chain.set_huge_handle(self.page, handle);
        } else {
            self.word().set(handle);
        }
    }

    /// Frees the slot of the object in its zspage. Returns a bitmap of the positions of its pages.
    #[inline]
    pub(super) fn release(&self) -> u32 {
        self.zspage.release(self.index);
        let pages = if self.next.is_some() { 3u32 } else { 1 };
        pages.wrapping_shl(self.page.position())
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
        // Masked offsets are inside a page, so the checks of `ZsPage::copy_to` need no code.
        let mask = PAGE_SIZE - 1;
        let (mut from_page, mut from_offset) = (self.page, self.offset() & mask);
        let (mut to_page, mut to_offset) = (to.page, to.offset() & mask);
        let mut left = size;
        loop {
            let bytes = left
                .min(PAGE_SIZE.wrapping_sub(from_offset))
                .min(PAGE_SIZE.wrapping_sub(to_offset));
            from_page.copy_to(from_offset, to_page, to_offset, bytes);
            left = left.wrapping_sub(bytes);
            if left == 0 {
                return;
            }
            from_offset = from_offset.wrapping_add(bytes) & mask;
            to_offset = to_offset.wrapping_add(bytes) & mask;
            if from_offset == 0 {
                let Some(next) = self.next else { return };
                from_page = next;
            }
            if to_offset == 0 {
                let Some(next) = to.next else { return };
                to_page = next;
            }
        }
    }
}
