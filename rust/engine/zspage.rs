// SPDX-License-Identifier: GPL-2.0

//! A zspage: a chain of pages that holds the objects of one size class.
//!
//! It is on one list, or isolated: see [`super::isolated`].
//!
//! A zspage has places for as many pages as its class says, but not every page has to be there:
//! pages are added one by one as objects need them, and given back one by one when nothing on
//! them is in use.

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

// In `counts`: one object in use, one free slot.
const INUSE_ONE: u32 = 1;
const FREE_ONE: u32 = 1 << 16;

// The positions below one, a bit for each.
#[inline]
fn positions_below(position: u32) -> u32 {
    1u32.wrapping_shl(position).wrapping_sub(1)
}

/// How many objects are in use, and how many slots are free.
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

/// A chain of pages and what is in use of it.
///
/// Every field but `class` is protected by the lock of the class. They are atomic so that a wrong
/// read is a wrong value, not undefined behaviour.
///
/// # Invariants
///
/// - `class` outlives the zspage.
/// - The chain is a ring: behind its last page is its first. Every page from `cursor` on, along the
///   links, belongs to the zspage, has it as its owner and stays allocated until it is taken out
///   of the chain under the class lock and its page lock. Positions rise along the chain, and are
///   those set in `present`. (The page of a huge zspage has no link.)
/// - A slot is free only if all its pages are present; the upper half of `counts` counts these. A
///   slot that is taken while all its pages are present is in use; the lower half counts these.
/// - `listed` names the list the zspage is on, or none while it is isolated.
#[repr(C)]
pub struct Zspage {
    links: Links,
    class: NonNull<SizeClass>,
    // A page of the chain, if there is one: that of the last object, as the next one tends to be
    // there, or on the page behind.
    cursor: PageCell,
    counts: AtomicU32,
    // Bit n is set while the page at position n is there.
    present: AtomicU16,
    listed: AtomicU8,
    slots: SlotMap,
}

// SAFETY: `links` is the only field that is not `Send` and `Sync` by itself; it is used only by
// the list that the zspage is on, under the class lock.
unsafe impl Send for Zspage {}
// SAFETY: As above.
unsafe impl Sync for Zspage {}

// SAFETY: `links` is a field of `Zspage`, at the offset given.
unsafe impl Linked for Zspage {
    const OFFSET: usize = core::mem::offset_of!(Zspage, links);
}

impl Zspage {
    /// Allocates a zspage without pages for `class`.
    ///
    /// Returns [`ENOMEM`]. Context: as `gfp` says, no lock held.
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

    /// The class of the zspage.
    pub fn class(&self) -> &SizeClass {
        // SAFETY: By the type invariants, the class outlives the zspage.
        unsafe { self.class.as_ref() }
    }

    #[inline(always)]
    pub(super) fn counts(&self) -> Counts {
        Counts(self.counts.load(Relaxed))
    }

    /// Objects in use.
    #[inline]
    pub fn inuse(&self) -> u32 {
        self.counts().inuse()
    }

    /// Slots that an object can be put into without another page.
    #[inline]
    pub fn free_slots(&self) -> usize {
        self.counts().free() as usize
    }

    // The two counts are below 2^16 and never below zero: they are changed together with `slots`.
    #[inline]
    fn count(&self, change: u32) {
        let counts = self.counts.load(Relaxed);
        self.counts.store(counts.wrapping_add(change), Relaxed);
    }

    /// Pages that are there.
    pub fn page_count(&self) -> usize {
        self.present.load(Relaxed).count_ones() as usize
    }

    /// Where the next page should go: the first place without one.
    ///
    /// The page before it is there, so at least one slot becomes free.
    pub fn next_position(&self) -> Option<u32> {
        let position = self.present.load(Relaxed).trailing_ones();
        (position < u32::from(self.class().shape().pages)).then_some(position)
    }

    /// The first place without a page among those that these slots touch.
    pub(super) fn absent_position(&self, slots: &Range<usize>) -> Option<u32> {
        let positions = self.class().layout().positions(slots);
        let meant =
            positions_below(positions.end as u32) & !positions_below(positions.start as u32);
        let absent = meant & !u32::from(self.present.load(Relaxed));
        (absent != 0).then_some(absent.trailing_zeros())
    }

    /// Whether there is a page at this position.
    #[inline]
    pub(super) fn is_present(&self, position: usize) -> bool {
        u32::from(self.present.load(Relaxed))
            .checked_shr(position as u32)
            .is_some_and(|present| present & 1 != 0)
    }

    // Whether all pages of a slot are there. A slot has two at most.
    fn is_backed(&self, index: usize) -> bool {
        let layout = self.class().layout();
        let end = layout.offset(index.wrapping_add(1)).wrapping_sub(1);
        self.is_present(layout.offset(index) >> PAGE_SHIFT) && self.is_present(end >> PAGE_SHIFT)
    }

    /// Whether the object of this index is in use.
    pub fn is_used(&self, index: usize) -> bool {
        self.slots.is_taken(index) && self.is_backed(index)
    }

    /// Whether every object is in use.
    pub fn is_full(&self) -> bool {
        self.inuse() >= u32::from(self.class().shape().objs)
    }

    /// The list the zspage is on, or `None` while it is isolated.
    pub fn group(&self) -> Option<Group> {
        self.listed().group()
    }

    /// The list the zspage is on, and whether it had a free slot when it was put there.
    #[inline]
    pub(super) fn listed(&self) -> Listed {
        Listed::from_number(self.listed.load(Relaxed))
    }

    /// Says that the zspage was put on a list, or taken off.
    ///
    /// Only the class, when it did that, calls this.
    #[inline]
    pub(super) fn set_listed(&self, listed: Listed) {
        self.listed.store(listed.number(), Relaxed);
    }

    /// Whether it is a zspage of `class`, so that a guard of that class's lock protects it.
    #[inline(always)]
    pub(super) fn is_of(&self, class: &SizeClass) -> bool {
        core::ptr::eq(self.class.as_ptr(), class)
    }

    /// Takes a free slot for an object.
    #[inline(always)]
    pub(super) fn take_object<'a>(&'a self, guard: &'a ClassGuard<'_>) -> Option<Object<'a>> {
        if !self.is_of(guard.class()) {
            return None;
        }
        let object = self.object(guard, self.slots.take_first()?)?;
        self.count(INUSE_ONE.wrapping_sub(FREE_ONE));
        Some(object)
    }

    /// The same, but one of these slots.
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

    /// Makes the slot of an object free that was in use, on this page of the chain.
    #[inline(always)]
    pub(super) fn release(&self, index: usize, page: ZsPage) {
        if self.slots.set_free(index) {
            self.count(FREE_ONE.wrapping_sub(INUSE_ONE));
            self.cursor.set(Some(page));
        }
    }

    /// Whether a slot is taken: if no page is missing, and there is such a slot, it is in use.
    #[inline(always)]
    pub(super) fn is_taken(&self, index: usize) -> bool {
        self.slots.is_taken(index)
    }

    /// Whether no page is missing.
    #[inline(always)]
    pub(super) fn is_complete(&self) -> bool {
        self.present.load(Relaxed) == self.class().all_present()
    }

    // The object of this index, in use or not, if its page is there. Its page may change as soon
    // as the class lock is let go, hence the guard, which is that of the zspage's class.
    #[inline(always)]
    fn object<'a>(&'a self, guard: &'a ClassGuard<'_>, index: usize) -> Option<Object<'a>> {
        let class = guard.class();
        let start = class.layout().offset(index);
        let page = self.page_at((start >> PAGE_SHIFT) as u32)?;
        // SAFETY: By the type invariants, the page belongs to the zspage; it stays while the lock is
        // held.
        unsafe { Object::new(class, self, page, start & (PAGE_SIZE - 1), index) }
    }

    // The index of the last object in use of these slots.
    #[inline]
    fn last_used(&self, slots: Range<usize>) -> Option<usize> {
        let last = self.slots.prev_taken(slots.end)?;
        if last < slots.start || self.is_backed(last) {
            return (last >= slots.start).then_some(last);
        }
        // By pages, from the last: slots without a page are taken, too, and may be many.
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

    /// The last object in use of these slots that is below `end`. The pages behind it that only these
    /// slots touch, and no object, are taken out of the chain, but for those that somebody has locked;
    /// each is given to `release`, with how many free slots that took away.
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
        // Behind the last slot may be a page of which it is a part, and nothing else.
        if tail != 0 && slots.end < class.shape().objs.into() {
            tail &= positions_below((class.layout().offset(slots.end) >> PAGE_SHIFT) as u32);
        }
        if tail != 0 {
            // SAFETY: They are there, and those on which something is in use stay.
            let _ = unsafe { self.detach_pages(guard, tail, false, release) };
        }
        self.object(guard, last?)
    }

    /// Takes pages, neighbours in the chain, out of it: unless something on one is in use, or
    /// `in_use_too`, and but for those that somebody has locked, of which it returns one. In
    /// `positions`, bit n stands for position n.
    ///
    /// # Safety
    ///
    /// The pages must be there. If `in_use_too`, nothing on them may be in use, or nobody use the pool
    /// any more.
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
            // SAFETY: It was just locked, and is the one behind `prev`.
            match unsafe { self.unlink(prev, page, position as usize, in_use_too) } {
                Some((page, free_slots)) => release(page, free_slots),
                None => prev = page,
            }
        }
        contended
    }

    /// The object of index `index`, if it is in use.
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

    /// Adds a page at this position; how many slots that made free. Gives the page back if there is
    /// one, or no such place.
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
        // SAFETY: The page was new, so it is nobody else's.
        unsafe { page.attach(NonNull::from(self).cast(), position) };
        // SAFETY: The page was just attached.
        unsafe { self.link(page, position) };
        // SAFETY: The page is locked, and belongs to the zspage now.
        unsafe {
            if !is_movable {
                page.make_movable();
            }
            page.unlock();
        }
        // All of them were taken, as this page was missing.
        let new_slots = self.backed_slots(position as usize);
        let count = new_slots.end.saturating_sub(new_slots.start);
        self.slots.set_free_range(new_slots);
        self.count(FREE_ONE.wrapping_mul(count as u32));
        Ok(count)
    }

    // The slots that touch the page at `position` and have all of their pages, if this one is
    // there.
    #[inline]
    fn backed_slots(&self, position: usize) -> Range<usize> {
        let present = self.present.load(Relaxed);
        self.class().layout().backed(position, present)
    }

    /// Puts a page into the chain.
    ///
    /// # Safety
    ///
    /// The page must be attached to this zspage, for a position that is not present.
    unsafe fn link(&self, page: ZsPage, position: u32) {
        match self.prev_page(position) {
            None => {
                // SAFETY: The caller's promise.
                unsafe { page.set_next(Some(page)) };
                self.cursor.set(Some(page));
            }
            // SAFETY: By the type invariants, all these belong to the zspage.
            Some(prev) => unsafe {
                page.set_next(prev.next());
                prev.set_next(Some(page));
            },
        }
        let present = self.present.load(Relaxed);
        self.present
            .store(present | (1 << (position & 15)), Relaxed);
    }

    // The positions below `position` of pages that are there, one bit for each.
    fn present_below(&self, position: u32) -> u32 {
        u32::from(self.present.load(Relaxed)) & positions_below(position)
    }

    // The page before a position in the ring: the last one in front of it, or else the last one.
    // None if there is no page.
    fn prev_page(&self, position: u32) -> Option<ZsPage> {
        let last = self.present_below(position).checked_ilog2();
        self.page_at(last.or_else(|| self.present.load(Relaxed).checked_ilog2())?)
    }

    // The page behind one of the chain's in the ring: that itself, if it is alone.
    fn next_page(&self, page: ZsPage) -> ZsPage {
        // SAFETY: By the type invariants, the page belongs to the zspage.
        unsafe { page.next() }.unwrap_or(page)
    }

    // The page at a position, if it is there.
    #[inline]
    fn page_at(&self, position: u32) -> Option<ZsPage> {
        // SAFETY: By the type invariants, all pages of the chain belong to the zspage.
        let page = unsafe { self.cursor.get()?.find(position) };
        if page.is_some() {
            self.cursor.set(page);
        }
        page
    }

    // Whether nothing that touches the page at `position`, which is there, is in use.
    #[inline]
    fn is_unused(&self, position: usize) -> bool {
        !self.slots.any_taken(self.backed_slots(position))
    }

    /// Takes a page on which nothing is in use out of the chain; `None` if something is, or if
    /// somebody has the page locked.
    ///
    /// # Safety
    ///
    /// The page must belong to this zspage.
    pub(super) unsafe fn detach_unused(
        &self,
        _guard: &ClassGuard<'_>,
        page: ZsPage,
    ) -> Option<(OwnedPage, usize)> {
        // SAFETY: The page belongs to this zspage, whose class lock is held.
        let position = unsafe { page.position() } as usize;
        if !self.is_unused(position) {
            return None;
        }
        let prev = self.prev_page(position as u32)?;
        // SAFETY: As above.
        if !unsafe { page.try_lock() } {
            return None;
        }
        // SAFETY: It was just locked, and is the one behind `prev`.
        unsafe { self.unlink(prev, page, position, false) }
    }

    /// Takes a locked page out of the chain. Also returns how many free slots that took away. If something on
    /// it is in use, the page stays, and is unlocked; or else that is lost, and the counts with it.
    ///
    /// # Safety
    ///
    /// The page must be at `position` of this zspage, and the one behind `prev` in the ring; the
    /// class lock is held, and the caller has the page locked. `in_use_too`: as for
    /// [`Zspage::detach_pages`].
    #[inline(always)]
    unsafe fn unlink(
        &self,
        prev: ZsPage,
        page: ZsPage,
        position: usize,
        in_use_too: bool,
    ) -> Option<(OwnedPage, usize)> {
        // Those that it does not back are taken already.
        let backed = self.backed_slots(position);
        let free_slots = backed.end.saturating_sub(backed.start);
        if !self.slots.take_range(backed.clone()) {
            if !in_use_too {
                // SAFETY: The caller has it locked.
                unsafe { page.unlock() };
                return None;
            }
            self.slots.clear_free_range(backed);
        }
        self.count(FREE_ONE.wrapping_mul(free_slots as u32).wrapping_neg());
        if prev == page {
            self.cursor.set(None);
        } else {
            // SAFETY: The caller's promise: all these belong to the zspage.
            unsafe { prev.set_next(page.next()) };
            self.cursor.set(Some(prev));
        }
        let present = self.present.load(Relaxed);
        self.present
            .store(present & !(1 << (position & 15)), Relaxed);
        Some((OwnedPage::detached(page), free_slots))
    }

    /// Takes out every page that can be locked at once, whatever is on it, and gives each to
    /// `release`, with how many free slots that took away. Returns a reference to a page that somebody has
    /// locked, if there is one.
    ///
    /// # Safety
    ///
    /// Nothing in the zspage may be in use, or nobody use the pool any more.
    pub(super) unsafe fn strip(
        &self,
        guard: &ClassGuard<'_>,
        release: impl FnMut(OwnedPage, usize),
    ) -> Option<ZsPage> {
        let all = u32::from(self.present.load(Relaxed));
        // SAFETY: The caller's promise.
        let contended = unsafe { self.detach_pages(guard, all, true, release) };
        if let Some(page) = contended {
            // SAFETY: By the type invariants, the page belongs to the zspage.
            unsafe { page.get() };
        }
        contended
    }

    /// The zspage of a page.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage, and either the lock of that zspage's class, the lock of
    /// the page, or the entry lock of an object that touches it must be held for `'a`.
    pub unsafe fn of<'a>(page: ZsPage) -> Option<&'a Zspage> {
        // SAFETY: By the safety requirements the page belongs to a zspage, which is its owner,
        // and which is not released meanwhile: that takes the class lock and all page locks, and
        // an object whose entry is locked keeps it from being empty.
        unsafe { page.owner().map(|owner| owner.cast().as_ref()) }
    }

    /// Puts `new` in the place of `old` in the chain. The class lock and both page locks are held.
    ///
    /// # Safety
    ///
    /// `old` must belong to this zspage; `new` must belong to nobody and hold the same bytes.
    pub(super) unsafe fn replace_page(&self, old: ZsPage, new: ZsPage) {
        let owner = NonNull::from(self).cast();
        // SAFETY: `old` belongs to this zspage.
        let position = unsafe { old.position() };
        let prev = self.prev_page(position).unwrap_or(old);
        // SAFETY: `old` and `prev` belong to this zspage, `new` to nobody.
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
