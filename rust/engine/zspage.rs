// SPDX-License-Identifier: GPL-2.0

//! A zspage: a chain of pages that holds objects of one size class.
//!
//! A zspage is on one list, or isolated: see [`super::isolated`].
//!
//! A zspage need not have all the pages that its class allows. Pages are added one by one when
//! objects need them, and freed one by one when they hold no object.

use core::ops::Range;
use core::ptr::NonNull;

use super::class::{ClassGuard, SizeClass};
use super::fullness::{Group, Listed};
use super::isolated::IsolatedZspage;
use super::object::Object;
use super::owned_page::OwnedPage;
use super::slots::SlotMap;
use crate::sys::atomic::{AtomicU16, AtomicU32, AtomicU8, Ordering::Relaxed};
use crate::sys::list::{Linked, Links};
use crate::sys::page::{PageCell, ZsPage, PAGE_SHIFT, PAGE_SIZE};
use crate::sys::prelude::*;
use crate::sys::slab::SlabBox;

// One object in use and one free slot, in `counts`.
const INUSE_ONE: u32 = 1;
const FREE_ONE: u32 = 1 << 16;

// Returns the bitmap of all positions below one.
#[inline]
fn positions_below(position: u32) -> u32 {
    1u32.wrapping_shl(position).wrapping_sub(1)
}

/// The number of objects in use, and the number of free slots.
#[derive(Clone, Copy)]
pub(super) struct Counts(u32);

impl Counts {
    #[inline]
    pub(super) fn inuse(self) -> u32 {
        self.0 & (FREE_ONE - 1)
    }

    #[inline]
    pub(super) fn free(self) -> u32 {
        self.0 / FREE_ONE
    }
}

/// A chain of pages and the state of its slots.
///
/// The class lock protects all fields but `class`. They are atomic so that reading them without the
/// lock gives a stale value, not undefined behaviour.
///
/// # Invariants
///
/// - `class` outlives the zspage.
/// - The chain is a ring: the next page of the last is the first. Every page reachable from
///   `cursor` belongs to the zspage and has it as its owner. It stays allocated until it is
///   detached, which takes the class lock and the page lock. Positions rise along the chain; they
///   are the bits set in `present`. (The page of a huge zspage has no link.)
/// - A free slot has all of its pages present. The upper half of `counts` is the number of free
///   slots. A taken slot with all of its pages present is in use. The lower half of `counts` is the
///   number of these.
/// - `listed` names the list that the zspage is on. It is `NOWHERE` while the zspage is isolated.
#[repr(C)]
pub struct Zspage {
    links: Links,
    class: NonNull<SizeClass>,
    // A page of the chain, or none if the zspage has no page. Lookups start here. Usually the page
    // of the last object, as the next object tends to be on that page or the next one.
    cursor: PageCell,
    counts: AtomicU32,
    // Bit n is set while the page at position n is present.
    present: AtomicU16,
    listed: AtomicU8,
    slots: SlotMap,
}

// SAFETY: `links` is the only field that is not `Send` and `Sync`. Only the list that the zspage is
// on uses it, under the class lock.
unsafe impl Send for Zspage {}
// SAFETY: As for `Send`: the class lock protects `links`.
unsafe impl Sync for Zspage {}

// SAFETY: `OFFSET` is the offset of `links`, a `Links`, which only `List` uses.
unsafe impl Linked for Zspage {
    const OFFSET: usize = core::mem::offset_of!(Zspage, links);
}

impl Zspage {
    /// Allocates a zspage without pages.
    ///
    /// Returns [`ENOMEM`] if memory ran out. Context: depends on `gfp`. No lock may be held.
    pub fn alloc(class: &SizeClass, gfp: Gfp) -> Result<IsolatedZspage<'_>> {
        let zspage = SlabBox::new(
            Zspage {
                links: Links::new(),
                class: NonNull::from(class),
                cursor: PageCell::new(),
                counts: AtomicU32::new(0),
                present: AtomicU16::new(0),
                listed: AtomicU8::new(Listed::NOWHERE.number()),
                slots: SlotMap::new(),
            },
            gfp,
        )?;
        Ok(IsolatedZspage::from_box(class, zspage))
    }

    /// Returns the class.
    pub fn class(&self) -> &SizeClass {
        // SAFETY: By the type invariants, the class outlives the zspage.
        unsafe { self.class.as_ref() }
    }

    #[inline(always)]
    pub(super) fn counts(&self) -> Counts {
        Counts(self.counts.load(Relaxed))
    }

    /// Returns the number of objects in use.
    #[inline]
    pub fn inuse(&self) -> u32 {
        self.counts().inuse()
    }

    /// Returns the number of free slots: objects that fit without another page.
    #[inline]
    pub fn free_slots(&self) -> usize {
        self.counts().free() as usize
    }

    // Neither half overflows or underflows: it changes together with `slots`.
    #[inline]
    fn count(&self, change: u32) {
        let counts = self.counts.load(Relaxed);
        self.counts.store(counts.wrapping_add(change), Relaxed);
    }

    /// Returns the number of pages present.
    pub fn page_count(&self) -> usize {
        self.present.load(Relaxed).count_ones() as usize
    }

    /// Returns the first position without a page, where the next page goes.
    ///
    /// All previous pages are present, so that page makes at least one slot free.
    pub fn next_position(&self) -> Option<u32> {
        let position = self.present.load(Relaxed).trailing_ones();
        (position < u32::from(self.class().shape().pages)).then_some(position)
    }

    /// Returns the first position without a page among the positions that `slots` touch.
    pub(super) fn absent_position(&self, slots: &Range<usize>) -> Option<u32> {
        let positions = self.class().layout().positions(slots);
        let meant =
            positions_below(positions.end as u32) & !positions_below(positions.start as u32);
        let absent = meant & !u32::from(self.present.load(Relaxed));
        (absent != 0).then_some(absent.trailing_zeros())
    }

    /// Returns whether the page at `position` is present.
    #[inline]
    pub(super) fn is_present(&self, position: usize) -> bool {
        u32::from(self.present.load(Relaxed))
            .checked_shr(position as u32)
            .is_some_and(|present| present & 1 != 0)
    }

    // Returns whether the pages of a slot, two at most, are present.
    fn is_backed(&self, index: usize) -> bool {
        let layout = self.class().layout();
        let end = layout.offset(index.wrapping_add(1)).wrapping_sub(1);
        self.is_present(layout.offset(index) >> PAGE_SHIFT) && self.is_present(end >> PAGE_SHIFT)
    }

    /// Returns whether the object in slot `index` is in use.
    pub fn is_used(&self, index: usize) -> bool {
        self.slots.is_taken(index) && self.is_backed(index)
    }

    /// Returns whether all objects are in use.
    pub fn is_full(&self) -> bool {
        self.inuse() >= u32::from(self.class().shape().objs)
    }

    /// Returns the fullness group of the list that the zspage is on, or `None` if isolated.
    pub fn group(&self) -> Option<Group> {
        self.listed().group()
    }

    /// Returns the list that the zspage is on.
    #[inline]
    pub(super) fn listed(&self) -> Listed {
        Listed::from_number(self.listed.load(Relaxed))
    }

    /// Sets the list that the zspage is on. Called only by the class, when it moves the zspage.
    #[inline]
    pub(super) fn set_listed(&self, listed: Listed) {
        self.listed.store(listed.number(), Relaxed);
    }

    /// Returns whether the zspage belongs to `class`, so that the lock of `class` protects it.
    #[inline(always)]
    pub(super) fn is_of(&self, class: &SizeClass) -> bool {
        core::ptr::eq(self.class.as_ptr(), class)
    }

    /// Takes a free slot. Returns its object, which has no handle yet.
    #[inline(always)]
    pub(super) fn take_object<'a>(&'a self, guard: &'a ClassGuard<'_>) -> Option<Object<'a>> {
        if !self.is_of(guard.class()) {
            return None;
        }
        let object = self.object(guard, self.slots.take_first()?)?;
        self.count(INUSE_ONE.wrapping_sub(FREE_ONE));
        Some(object)
    }

    /// Takes a free slot among `slots`. Returns its object, which has no handle yet.
    pub(super) fn take_object_in<'a>(
        &'a self,
        guard: &'a ClassGuard<'_>,
        slots: &Range<usize>,
    ) -> Option<Object<'a>> {
        if !self.is_of(guard.class()) {
            return None;
        }
        let index = self.slots.first_free_in(slots.clone())?;
        let object = self.object(guard, index)?;
        self.slots.clear_free(index);
        self.count(INUSE_ONE.wrapping_sub(FREE_ONE));
        Some(object)
    }

    /// Frees slot `index`, which holds an object. `page` is the page that the object begins on.
    #[inline(always)]
    pub(super) fn release(&self, index: usize, page: ZsPage) {
        if self.slots.set_free(index) {
            self.count(FREE_ONE.wrapping_sub(INUSE_ONE));
            self.cursor.set(Some(page));
        }
    }

    /// Returns whether a slot is taken. If no page is missing, that means in use.
    #[inline(always)]
    pub(super) fn is_taken(&self, index: usize) -> bool {
        self.slots.is_taken(index)
    }

    /// Returns whether no page is missing.
    #[inline(always)]
    pub(super) fn is_complete(&self) -> bool {
        self.present.load(Relaxed) == self.class().all_present()
    }

    // Returns the object in slot `index`, in use or not, if its pages are present. `guard` is that
    // of the zspage's class: without the class lock, pages can be replaced at any time.
    #[inline(always)]
    fn object<'a>(&'a self, guard: &'a ClassGuard<'_>, index: usize) -> Option<Object<'a>> {
        let class = guard.class();
        let start = class.layout().offset(index);
        let page = self.page_at((start >> PAGE_SHIFT) as u32)?;
        // SAFETY: By the type invariants, the page belongs to the zspage. The class lock is held.
        unsafe { Object::new(class, self, page, start & (PAGE_SIZE - 1), index) }
    }

    // Returns the last object in use among `slots`.
    #[inline]
    fn last_used(&self, slots: Range<usize>) -> Option<usize> {
        let last = self.slots.prev_taken(slots.end)?;
        if last < slots.start || self.is_backed(last) {
            return (last >= slots.start).then_some(last);
        }
        // Search by page, from the last. The slots of missing pages are taken, and may be many.
        let end = self.class().layout().positions(&slots).end;
        let mut present = self.present_below(end as u32);
        while let Some(position) = present.checked_ilog2() {
            let backed = self.backed_slots(position as usize);
            let last = self.slots.prev_taken(backed.end.min(slots.end));
            if last.is_some_and(|last| last >= backed.start.max(slots.start)) {
                return last;
            }
            present &= !(1 << position);
        }
        None
    }

    /// Returns the last object in use in `slots` and below `end`. Detaches the unused pages after
    /// it that hold no part of a slot outside `slots`. Skips pages that are locked. Passes each
    /// page to `release`, with the number of free slots that went with it.
    pub(super) fn detach_tail<'a>(
        &'a self,
        guard: &'a ClassGuard<'_>,
        slots: &Range<usize>,
        end: usize,
        release: impl FnMut(OwnedPage, usize),
    ) -> Option<Object<'a>> {
        if !self.is_of(guard.class()) {
            return None;
        }
        let class = guard.class();
        let last = self.last_used(slots.start..end);
        let unused = last.map_or(slots.start, |last| last.wrapping_add(1));
        let from = class.layout().offset(unused).div_ceil(PAGE_SIZE);
        let mut tail = u32::from(self.present.load(Relaxed)) & !positions_below(from as u32);
        // Keep the pages of the slots after `slots`.
        if tail != 0 && slots.end < class.shape().objs.into() {
            tail &= positions_below((class.layout().offset(slots.end) >> PAGE_SHIFT) as u32);
        }
        if tail != 0 {
            // SAFETY: The pages in `tail` are present. Without `in_use_too`, pages in use stay.
            let _ = unsafe { self.detach_pages(guard, tail, false, release) };
        }
        self.object(guard, last?)
    }

    /// Detaches pages that are neighbours in the chain. Bit n of `positions` stands for the page at
    /// position n. Skips pages that are locked, and returns the last of these. Skips pages in use
    /// unless `in_use_too` is set.
    ///
    /// # Safety
    ///
    /// All pages in `positions` must be present. With `in_use_too`, the pages must not be in use,
    /// or nobody may use the pool any more.
    unsafe fn detach_pages(
        &self,
        _guard: &ClassGuard<'_>,
        positions: u32,
        in_use_too: bool,
        mut release: impl FnMut(OwnedPage, usize),
    ) -> Option<ZsPage> {
        let mut contended = None;
        let mut prev = self.prev_page(positions.trailing_zeros())?;
        let mut left = positions;
        while left != 0 {
            let position = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            let page = self.next_page(prev);
            // SAFETY: By the type invariants, the page belongs to the zspage.
            if !unsafe { page.try_lock() } {
                prev = page;
                contended = Some(page);
                continue;
            }
            // SAFETY: The page was locked above, is at `position`, and is the next one of `prev`.
            // The class lock is held. The caller answers for `in_use_too`.
            match unsafe { self.unlink(prev, page, position as usize, in_use_too) } {
                Some((page, free_slots)) => release(page, free_slots),
                None => prev = page,
            }
        }
        contended
    }

    /// Returns the object in slot `index` if it is in use.
    pub(super) fn used_object<'a>(
        &'a self,
        guard: &'a ClassGuard<'_>,
        index: usize,
    ) -> Option<Object<'a>> {
        if self.is_of(guard.class()) && self.is_used(index) {
            self.object(guard, index)
        } else {
            None
        }
    }

    /// Adds a page at `position`. Returns the number of slots that became free. Returns the page as
    /// an error if `position` has one, or does not exist.
    pub(super) fn add_page(
        &self,
        guard: &ClassGuard<'_>,
        page: OwnedPage,
        position: u32,
    ) -> Result<usize, OwnedPage> {
        if position >= u32::from(self.class().shape().pages)
            || self.is_present(position as usize)
            || !self.is_of(guard.class())
        {
            return Err(page);
        }
        let (page, is_movable) = page.into_page();
        // SAFETY: `OwnedPage` owned the page, so nobody else uses it.
        unsafe { page.attach(NonNull::from(self).cast(), position) };
        // SAFETY: The page was attached above, at a position that is not present.
        unsafe { self.link(page, position) };
        // SAFETY: The page is locked, as it was an `OwnedPage`, and belongs to the zspage now.
        unsafe {
            if !is_movable {
                page.make_movable();
            }
            page.unlock();
        }
        // These slots were all taken, as this page was missing.
        let new_slots = self.backed_slots(position as usize);
        let count = new_slots.end.saturating_sub(new_slots.start);
        self.slots.set_free_range(new_slots);
        self.count(FREE_ONE.wrapping_mul(count as u32));
        Ok(count)
    }

    // Returns the slots on the page at `position` that have all pages, given that this is present.
    #[inline]
    fn backed_slots(&self, position: usize) -> Range<usize> {
        let present = self.present.load(Relaxed);
        self.class().layout().backed(position, present)
    }

    /// Links a page into the chain.
    ///
    /// # Safety
    ///
    /// The page must be attached to this zspage, at a position that is not present.
    unsafe fn link(&self, page: ZsPage, position: u32) {
        match self.prev_page(position) {
            None => {
                // SAFETY: The page is attached to this zspage (requirement), and in no chain.
                unsafe { page.set_next(Some(page)) };
                self.cursor.set(Some(page));
            }
            // SAFETY: By the type invariants, `prev` and its next page belong to the zspage. `page`
            // is attached to it (safety requirement). The class lock is held.
            Some(prev) => unsafe {
                page.set_next(prev.next());
                prev.set_next(Some(page));
            },
        }
        let present = self.present.load(Relaxed);
        self.present
            .store(present | (1 << (position & 15)), Relaxed);
    }

    // Returns the bitmap of pages present below `position`.
    fn present_below(&self, position: u32) -> u32 {
        u32::from(self.present.load(Relaxed)) & positions_below(position)
    }

    // Returns the page before `position` in the ring, which is the last page if there is none below
    // `position`. Returns `None` if the zspage has no page.
    fn prev_page(&self, position: u32) -> Option<ZsPage> {
        let last = self.present_below(position).checked_ilog2();
        self.page_at(last.or_else(|| self.present.load(Relaxed).checked_ilog2())?)
    }

    // Returns the next page in the ring. A single page is its own next page.
    fn next_page(&self, page: ZsPage) -> ZsPage {
        // SAFETY: By the type invariants, the page belongs to the zspage.
        unsafe { page.next() }.unwrap_or(page)
    }

    // Returns the page at `position`, if it is present.
    #[inline]
    fn page_at(&self, position: u32) -> Option<ZsPage> {
        // SAFETY: By the type invariants, all pages of the chain belong to the zspage. The class
        // lock keeps the chain as it is.
        let page = unsafe { self.cursor.get()?.find(position) };
        if page.is_some() {
            self.cursor.set(page);
        }
        page
    }

    // Returns whether no object touches the page at `position`, which is present.
    #[inline]
    fn is_unused(&self, position: usize) -> bool {
        !self.slots.any_taken(self.backed_slots(position))
    }

    /// Detaches a page that holds no object and is not locked. Returns `None` otherwise.
    ///
    /// # Safety
    ///
    /// The page must belong to this zspage.
    pub(super) unsafe fn detach_unused(
        &self,
        _guard: &ClassGuard<'_>,
        page: ZsPage,
    ) -> Option<(OwnedPage, usize)> {
        // SAFETY: The page belongs to this zspage (safety requirement), whose class lock is held.
        let position = unsafe { page.position() } as usize;
        if !self.is_unused(position) {
            return None;
        }
        let prev = self.prev_page(position as u32)?;
        // SAFETY: The page belongs to this zspage (safety requirement).
        if !unsafe { page.try_lock() } {
            return None;
        }
        // SAFETY: The page at `position`, next to `prev`, was locked above. The class lock is held.
        unsafe { self.unlink(prev, page, position, false) }
    }

    /// Unlinks a locked page from the chain. Returns it with the number of free slots that went
    /// with it. If an object is on the page, unlocks it and returns `None`. With `in_use_too` the
    /// page is unlinked all the same: the object is lost, and `counts` is wrong.
    ///
    /// # Safety
    ///
    /// The page must be at `position` of this zspage, be the next one of `prev` in the ring, and be
    /// locked by the caller. The class lock must be held. `in_use_too`: see `detach_pages`.
    #[inline(always)]
    unsafe fn unlink(
        &self,
        prev: ZsPage,
        page: ZsPage,
        position: usize,
        in_use_too: bool,
    ) -> Option<(OwnedPage, usize)> {
        // Slots that touch the page and lack another page are taken already.
        let backed = self.backed_slots(position);
        let free_slots = backed.end.saturating_sub(backed.start);
        if !self.slots.take_range(backed.clone()) {
            if !in_use_too {
                // SAFETY: The caller has the page locked (safety requirement).
                unsafe { page.unlock() };
                return None;
            }
            self.slots.clear_free_range(backed);
        }
        self.count(FREE_ONE.wrapping_mul(free_slots as u32).wrapping_neg());
        if prev == page {
            self.cursor.set(None);
        } else {
            // SAFETY: `page` is in the chain, next to `prev` (safety requirement), so by the type
            // invariants all three pages belong to the zspage.
            unsafe { prev.set_next(page.next()) };
            self.cursor.set(Some(prev));
        }
        let present = self.present.load(Relaxed);
        self.present
            .store(present & !(1 << (position & 15)), Relaxed);
        Some((OwnedPage::detached(page), free_slots))
    }

    /// Detaches all pages except those that are locked, whether in use or not. Passes each to
    /// `release`, with the number of free slots that went with it. Returns a locked page, if there
    /// is one, with a reference taken.
    ///
    /// # Safety
    ///
    /// No object in the zspage may be in use, or nobody may use the pool any more.
    pub(super) unsafe fn strip(
        &self,
        guard: &ClassGuard<'_>,
        release: impl FnMut(OwnedPage, usize),
    ) -> Option<ZsPage> {
        let all = u32::from(self.present.load(Relaxed));
        // SAFETY: The pages in `all` are present. The caller guarantees the same of `in_use_too`.
        let contended = unsafe { self.detach_pages(guard, all, true, release) };
        if let Some(page) = contended {
            // SAFETY: By the type invariants, the page belongs to the zspage.
            unsafe { page.get() };
        }
        contended
    }

    /// Returns the zspage that a page belongs to.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage. For all of `'a`, one of these locks must be held: the
    /// class lock of that zspage, the page lock, or the entry lock of an object on the page.
    pub unsafe fn of<'a>(page: ZsPage) -> Option<&'a Zspage> {
        // SAFETY: The page belongs to a zspage (safety requirement), which is its owner. Freeing a
        // zspage takes the class lock and the page locks of all its pages. A zspage with an object
        // whose entry is locked is not empty, so it is not freed.
        unsafe { page.owner().map(|owner| owner.cast().as_ref()) }
    }

    /// Replaces `old` with `new` in the chain.
    ///
    /// # Safety
    ///
    /// `old` must belong to this zspage. `new` must belong to none, and have the same contents. The
    /// class lock and both page locks must be held.
    pub(super) unsafe fn replace_page(&self, old: ZsPage, new: ZsPage) {
        let owner = NonNull::from(self).cast();
        // SAFETY: `old` belongs to this zspage (safety requirement).
        let position = unsafe { old.position() };
        let prev = self.prev_page(position).unwrap_or(old);
        // SAFETY: `old` belongs to this zspage, `new` to none, and both are locked (safety
        // requirements). By the type invariants, `prev` belongs to the zspage. The class lock is
        // held.
        unsafe {
            new.attach(owner, position);
            new.take_link(old);
            if prev != old {
                prev.set_next(Some(new));
            } else if new.next().is_some() {
                new.set_next(Some(new));
            }
        }
        self.cursor.set(Some(new));
    }
}
