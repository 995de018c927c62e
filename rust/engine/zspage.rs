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
use super::slots::SlotMap;
use crate::sys::atomic::{AtomicU16, AtomicU32, AtomicU8, Ordering::Relaxed};
use crate::sys::chain::{Chain, HasChain};
use crate::sys::list::{Linked, Links};
use crate::sys::page::{DetachedPage, Migration, ZsPage, PAGE_SHIFT, PAGE_SIZE};

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
/// The class lock protects all fields but `class`. It is not `LockedBy`, which has a pointer to the
/// lock beside each value: that is 8 of the 56 bytes of a zspage. `chain` is reached only through
/// [`Zspage::chain`], which demands the guard. The others are atomic instead, so that reading them
/// without the lock gives a stale value, not undefined behaviour.
///
/// # Invariants
///
/// - `class` outlives the zspage.
/// - The positions of the pages in `chain` are the bits set in `present`.
/// - A free slot has all of its pages present. The upper half of `counts` is the number of free
///   slots. A taken slot with all of its pages present is in use. The lower half of `counts` is the
///   number of these.
/// - `listed` names the list that the zspage is on. It is `NOWHERE` while the zspage is isolated.
#[repr(C)]
pub struct Zspage {
    links: Links,
    class: NonNull<SizeClass>,
    chain: Chain,
    counts: AtomicU32,
    // Bit n is set while the page at position n is present.
    present: AtomicU16,
    listed: AtomicU8,
    slots: SlotMap,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Zspage>() == super::geometry::zspage_size(PAGE_SIZE));

// SAFETY: `class` points to a `SizeClass`, which is `Sync`. `links` is used by the list that the
// zspage is on, and `chain` through `Zspage::chain`, both under the class lock.
unsafe impl Send for Zspage {}
// SAFETY: The class lock protects `links` and `chain`: see `Send`.
unsafe impl Sync for Zspage {}

// SAFETY: `OFFSET` is the offset of `chain`, and all chains are the `chain` of a zspage.
unsafe impl HasChain for Zspage {
    const OFFSET: usize = core::mem::offset_of!(Zspage, chain);
}

// SAFETY: `OFFSET` is the offset of `links`, a `Links`, which only `List` uses.
unsafe impl Linked for Zspage {
    const OFFSET: usize = core::mem::offset_of!(Zspage, links);
}

impl Zspage {
    /// Returns a zspage without pages, which must not outlive `class`.
    pub(super) fn new(class: &SizeClass) -> Self {
        // INVARIANT: `NewZspage` keeps the lifetime of `class`, and so does `IsolatedZspage`. A
        // list is a part of the class.
        Self {
            links: Links::new(),
            class: NonNull::from(class),
            // SAFETY: This is the `chain` of a zspage. A zspage with pages is neither moved nor
            // freed: `SlabBox` does not move it, and `IsolatedZspage` frees it without pages only.
            chain: unsafe { Chain::new() },
            counts: AtomicU32::new(0),
            present: AtomicU16::new(0),
            listed: AtomicU8::new(Listed::NOWHERE.number()),
            slots: SlotMap::new(),
        }
    }

    /// Returns the zspage that a page is in.
    #[inline]
    pub fn of<'a>(page: ZsPage<'a>) -> Option<&'a Zspage> {
        Chain::owner(page)
    }

    /// Returns the class.
    #[inline]
    pub fn class(&self) -> &SizeClass {
        // SAFETY: By the type invariants, the class outlives the zspage.
        unsafe { self.class.as_ref() }
    }

    /// Returns the chain of pages, or `None` if `guard` is of another class.
    #[inline]
    pub(super) fn chain<'a>(&'a self, guard: &'a ClassGuard<'_>) -> Option<&'a Chain> {
        self.is_of(guard.class()).then_some(&self.chain)
    }

    #[inline]
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

    /// Returns the first position without a page among those that the slots below `end` touch.
    pub(super) fn absent_position(&self, end: usize) -> Option<u32> {
        let pages = self.class().layout().offset(end).div_ceil(PAGE_SIZE);
        let position = self.present.load(Relaxed).trailing_ones();
        ((position as usize) < pages).then_some(position)
    }

    /// Returns the last position with a page among `positions`.
    #[inline]
    pub(super) fn last_position(&self, positions: Range<u32>) -> Option<u32> {
        let last = self.present_below(positions.end).checked_ilog2()?;
        (last >= positions.start).then_some(last)
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
    #[inline]
    pub(super) fn is_of(&self, class: &SizeClass) -> bool {
        core::ptr::eq(self.class.as_ptr(), class)
    }

    /// Takes the first free slot below `end`, and returns its index.
    #[inline]
    pub(super) fn take_first_below(&self, end: usize) -> Option<usize> {
        self.slots.take_first_below(end)
    }

    /// Counts an object in a slot that was taken.
    #[inline]
    pub(super) fn object_allocated(&self) {
        self.count(INUSE_ONE.wrapping_sub(FREE_ONE));
    }

    /// Frees slot `index`, which holds an object.
    #[inline]
    pub(super) fn release(&self, index: usize) {
        if self.slots.set_free(index) {
            self.count(FREE_ONE.wrapping_sub(INUSE_ONE));
        }
    }

    /// Frees all slots, so that the pages can be detached. The objects in them are lost, and their
    /// handles must not be used any more.
    pub(super) fn forget_objects(&self) {
        let mut present = u32::from(self.present.load(Relaxed));
        while let Some(position) = present.checked_ilog2() {
            self.slots
                .set_free_range(self.backed_slots(position as usize));
            present &= !(1 << position);
        }
        let counts = self.counts();
        self.count(
            counts
                .inuse()
                .wrapping_mul(FREE_ONE.wrapping_sub(INUSE_ONE)),
        );
    }

    /// Returns the last object in use that is on the page at `position`, in one of `slots`. The page
    /// is present.
    #[inline]
    pub(super) fn last_used_on(&self, position: u32, slots: &Range<usize>) -> Option<usize> {
        let backed = self.backed_slots(position as usize);
        let last = self.slots.prev_taken(backed.end.min(slots.end))?;
        (last >= backed.start.max(slots.start)).then_some(last)
    }

    /// Detaches all unused pages except those that are locked. Passes each to `release`, with the
    /// number of free slots that went with it. Returns a page that is locked, if there is one.
    pub(super) fn detach_all<'a>(
        &'a self,
        guard: &'a ClassGuard<'_>,
        mut release: impl FnMut(DetachedPage, usize),
    ) -> Option<ZsPage<'a>> {
        let chain = self.chain(guard)?;
        let mut contended = None;
        // The last page is the previous one of the first.
        let mut prev = self.prev_page(chain, 0)?;
        for _ in 0..self.page_count() {
            let page = chain.next(prev)?;
            let backed = self.backed_slots(page.position() as usize);
            if self.slots.any_taken(backed.clone()) {
                prev = page;
                continue;
            }
            match self.detach_page(chain, prev, page.position(), backed) {
                Some((page, free_slots)) => release(page, free_slots),
                None => {
                    prev = page;
                    contended = Some(page);
                }
            }
        }
        contended
    }

    /// Detaches the page at `position` if it holds no object and is not locked. Returns it with the
    /// number of free slots that went with it.
    // A call would cost `free` 3 % of its instructions.
    #[inline(always)]
    pub(super) fn detach_unused(
        &self,
        guard: &ClassGuard<'_>,
        position: u32,
    ) -> Option<(DetachedPage, usize)> {
        let backed = self.backed_slots(position as usize);
        if self.slots.any_taken(backed.clone()) {
            return None;
        }
        let chain = self.chain(guard)?;
        let prev = self.prev_page(chain, position)?;
        self.detach_page(chain, prev, position, backed)
    }

    // Detaches the page at `position`, the next one of `prev`, if it is not locked. Its slots, `backed`,
    // are free. Returns it with the number of free slots that went with it.
    // Measured together with `detach_unused`.
    #[inline(always)]
    fn detach_page(
        &self,
        chain: &Chain,
        prev: ZsPage<'_>,
        position: u32,
        backed: Range<usize>,
    ) -> Option<(DetachedPage, usize)> {
        let detached = chain.remove_next(prev, position)?;
        // Slots that touch the page and lack another page are taken already.
        let free_slots = backed.end.saturating_sub(backed.start);
        self.slots.take_range(backed);
        self.count(FREE_ONE.wrapping_mul(free_slots as u32).wrapping_neg());
        let present = self.present.load(Relaxed);
        self.present
            .store(present & !(1 << (position & 15)), Relaxed);
        Some((detached, free_slots))
    }

    /// Adds a page at `position`. Returns the number of slots that became free. Returns the page as
    /// an error if `position` has one, or does not exist.
    pub(super) fn add_page<P: Into<DetachedPage>>(
        &self,
        guard: &ClassGuard<'_>,
        page: P,
        position: u32,
    ) -> Result<usize, P> {
        let fits =
            position < u32::from(self.class().shape().pages) && !self.is_present(position as usize);
        let chain = match self.chain(guard) {
            Some(chain) if fits => chain,
            _ => return Err(page),
        };
        let prev = self.prev_page(chain, position);
        chain.insert(page.into(), self.class().shape().index, position, prev);
        let present = self.present.load(Relaxed);
        self.present
            .store(present | (1 << (position & 15)), Relaxed);
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

    // Returns the bitmap of pages present below `position`.
    fn present_below(&self, position: u32) -> u32 {
        u32::from(self.present.load(Relaxed)) & positions_below(position)
    }

    // Returns the page before `position` in the ring, which is the last page if there is none below
    // `position`. Returns `None` if the zspage has no page.
    fn prev_page<'a>(&self, chain: &'a Chain, position: u32) -> Option<ZsPage<'a>> {
        let last = self.present_below(position).checked_ilog2();
        chain.find(last.or_else(|| self.present.load(Relaxed).checked_ilog2())?)
    }

    /// Copies the old page of a migration to the new one, and replaces it. Returns false, and has
    /// changed nothing, if `guard` is of another class, or the page of another zspage.
    pub(super) fn replace_page(&self, guard: &ClassGuard<'_>, migration: &Migration) -> bool {
        self.chain(guard).is_some_and(|chain| {
            let old = migration.old();
            let prev = self.prev_page(chain, old.position()).unwrap_or(old);
            chain.replace(prev, migration)
        })
    }
}
