// SPDX-License-Identifier: GPL-2.0

//! A zspage: a chain of pages that holds the objects of one size class.
//!
//! Ownership rule: **a zspage is on one list or in one hand.** [`InHand`] is that hand. Taking a
//! zspage off a list yields one; putting it on a list ([`super::class::ClassGuard::put`]) or
//! releasing it consumes it. There is no way to copy it, so adding a zspage to a list twice, the
//! bug that the fine-grained fullness series had, does not compile; and one that goes out of scope
//! with its zspage still in it reports that.
//!
//! A zspage has places for as many pages as its class says, but not every page has to be there:
//! pages are added one by one as objects need them, and given back one by one when nothing on
//! them is in use.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, Range};
use core::ptr::NonNull;

use super::class::{ClassGuard, SizeClass};
use super::fullness::{Group, Listed};
use super::slots::SlotMap;
use super::word::Place;
use crate::sys::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU8, Ordering::Relaxed};
use crate::sys::list::{Linked, Links};
use crate::sys::page::{read_u64_at, write_u64_at, PageCell, ZsPage, PAGE_SHIFT, PAGE_SIZE};
use crate::sys::prelude::*;
use crate::sys::report;
use crate::sys::slab::SlabBox;

// In `counts`: one object in use, one open slot.
const INUSE_ONE: u32 = 1;
const OPEN_ONE: u32 = 1 << 16;

/// How many objects are in use, and how many slots are open.
#[derive(Clone, Copy)]
pub(super) struct Counts(u32);

impl Counts {
    #[inline]
    pub(super) fn inuse(self) -> u32 {
        self.0 & (OPEN_ONE - 1)
    }

    #[inline]
    pub(super) fn open(self) -> u32 {
        self.0 / OPEN_ONE
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
/// - Every page from `first` on, along the links, belongs to the zspage, has it as its owner and
///   stays allocated until it is taken out of the chain under the class lock and its page lock.
///   Positions rise along the chain, and are those set in `present`.
/// - A slot is open only if all its pages are present; the upper half of `counts` counts these. A
///   slot that is closed while all its pages are present is in use; the lower half counts these.
/// - `listed` names the list the zspage is on, or none while it is in a hand.
#[repr(C)]
pub struct Zspage {
    links: Links,
    class: NonNull<SizeClass>,
    first: PageCell,
    counts: AtomicU32,
    // Bit n is set while the page at position n is there.
    present: AtomicU16,
    listed: AtomicU8,
    // Whether a page on which nothing is in use was kept, or may have been.
    has_unused: AtomicBool,
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

/// The sole owner of a zspage that is on no list. The class `'c` outlives it.
#[must_use = "a zspage in hand has to go back on a list or be released"]
pub struct InHand<'c>(Option<SlabBox<Zspage>>, PhantomData<&'c SizeClass>);

/// A page that is in no zspage, and is locked.
///
/// It goes into one, or back to the kernel, which happens at the latest when it is dropped.
pub struct NewPage {
    page: ZsPage,
    // It was in a zspage before.
    is_movable: bool,
}

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

impl Zspage {
    /// Allocates a zspage without pages for `class`.
    ///
    /// Returns [`ENOMEM`]. Context: as `gfp` says, no lock held.
    pub fn alloc(class: &SizeClass, gfp: Gfp) -> Result<InHand<'_>> {
        let zspage = SlabBox::new(
            Zspage {
                links: Links::new(),
                class: NonNull::from(class),
                first: PageCell::new(),
                counts: AtomicU32::new(0),
                present: AtomicU16::new(0),
                listed: AtomicU8::new(Listed::NOWHERE.number()),
                has_unused: AtomicBool::new(false),
                slots: SlotMap::new(),
            },
            gfp,
        )?;
        Ok(InHand(Some(zspage), PhantomData))
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
    pub fn open_slots(&self) -> usize {
        self.counts().open() as usize
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
    /// The page before it is there, so at least one slot becomes open.
    pub fn next_position(&self) -> Option<u32> {
        let position = self.present.load(Relaxed).trailing_ones();
        (position < u32::from(self.class().shape().pages)).then_some(position)
    }

    fn is_present(&self, position: usize) -> bool {
        u32::from(self.present.load(Relaxed))
            .checked_shr(position as u32)
            .is_some_and(|present| present & 1 != 0)
    }

    // Whether all pages of a slot are there. A slot has two at most.
    fn is_backed(&self, index: usize) -> bool {
        let class = self.class();
        let start = class.offset(index);
        self.is_present(start >> PAGE_SHIFT)
            && self.is_present(class.offset(index.wrapping_add(1)).wrapping_sub(1) >> PAGE_SHIFT)
    }

    /// Whether the object of this index is in use.
    pub fn is_used(&self, index: usize) -> bool {
        self.slots.is_closed(index) && self.is_backed(index)
    }

    /// Whether every object is in use.
    pub fn is_full(&self) -> bool {
        self.inuse() >= u32::from(self.class().shape().objs)
    }

    /// The list the zspage is on, or `None` while it is in a hand.
    pub fn group(&self) -> Option<Group> {
        self.listed().group()
    }

    /// The list the zspage is on, and whether it had an open slot when it was put there.
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

    /// The pages of the chain, in order. The class lock, or ownership, keeps the chain as it is.
    fn pages(&self) -> impl Iterator<Item = ZsPage> + '_ {
        core::iter::successors(self.first.get(), |page| {
            // SAFETY: By the type invariants, the page belongs to the zspage.
            unsafe { page.next() }
        })
    }

    /// Takes an open slot for an object.
    #[inline(always)]
    pub(super) fn take_object<'a>(&'a self, guard: &'a ClassGuard<'_>) -> Option<Object<'a>> {
        let object = self.object(guard, self.slots.close_first()?)?;
        self.count(INUSE_ONE.wrapping_sub(OPEN_ONE));
        Some(object)
    }

    // The object of this index, in use or not, if its page is there. Its page may change as soon
    // as the class lock is let go, hence the guard.
    #[inline(always)]
    fn object<'a>(&'a self, guard: &'a ClassGuard<'_>, index: usize) -> Option<Object<'a>> {
        let class = guard.class();
        let start = class.offset(index);
        let page = self.page_at((start >> PAGE_SHIFT) as u32)?;
        let address = ((page.pfn() as u64) << PAGE_SHIFT) | (start & (PAGE_SIZE - 1)) as u64;
        Some(Object {
            class,
            zspage: self,
            page,
            address,
            index,
        })
    }

    /// The last object in use below index `end`.
    pub(super) fn last_used<'a>(
        &'a self,
        guard: &'a ClassGuard<'_>,
        end: usize,
    ) -> Option<Object<'a>> {
        // By pages, from the last: slots without a page are closed, too, and may be many.
        let mut present = self.present.load(Relaxed);
        while let Some(position) = present.checked_ilog2() {
            let slots = self.backed_slots(position as usize);
            let last = self.slots.prev_closed(slots.end.min(end));
            if let Some(index) = last.filter(|&index| index >= slots.start) {
                return self.object(guard, index);
            }
            present &= !(1 << position);
        }
        None
    }

    /// Whether an open slot is in front of `index`.
    pub(super) fn is_open_before(&self, index: usize) -> bool {
        self.slots.first_open().is_some_and(|open| open < index)
    }

    /// The object of index `index`, if it is in use.
    pub(super) fn used_object<'a>(
        &'a self,
        guard: &'a ClassGuard<'_>,
        index: usize,
    ) -> Option<Object<'a>> {
        if self.is_used(index) {
            self.object(guard, index)
        } else {
            None
        }
    }

    /// Adds a page at [`Zspage::next_position`]; how many slots that opened. Gives the page back
    /// if there is no place for it. The class lock is held.
    pub(super) fn add_page(&self, page: NewPage) -> Result<usize, NewPage> {
        let Some(position) = self.next_position() else {
            return Err(page);
        };
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
        // All of them were closed, as this page was missing.
        let opened = self.backed_slots(position as usize);
        self.slots.open_range(opened.clone());
        self.count(OPEN_ONE.wrapping_mul(opened.len() as u32));
        Ok(opened.len())
    }

    // The slots that touch the page at `position` and have all of their pages, if this one is there.
    #[inline]
    fn backed_slots(&self, position: usize) -> Range<usize> {
        let class = self.class();
        let mut slots = class.touching(position);
        if self.present.load(Relaxed) == class.all_present() {
            return slots;
        }
        let start = position << PAGE_SHIFT;
        if class.offset(slots.start) < start && !self.is_present(position.wrapping_sub(1)) {
            slots.start = slots.start.wrapping_add(1);
        }
        if class.offset(slots.end) > start.wrapping_add(PAGE_SIZE)
            && !self.is_present(position.wrapping_add(1))
        {
            slots.end = slots.end.wrapping_sub(1);
        }
        slots
    }

    /// Puts a page into the chain.
    ///
    /// # Safety
    ///
    /// The page must be attached to this zspage, for a position that is not present.
    unsafe fn link(&self, page: ZsPage, position: u32) {
        let before = self.before(position);
        // SAFETY: By the type invariants, all these belong to the zspage.
        unsafe {
            match before {
                None => {
                    if let Some(first) = self.first.get() {
                        page.set_next(Some(first));
                        first.set_first(false);
                    }
                    page.set_first(true);
                    self.first.set(Some(page));
                }
                Some(before) => {
                    if let Some(next) = before.next() {
                        page.set_next(Some(next));
                    }
                    before.set_next(Some(page));
                }
            }
        }
        let present = self.present.load(Relaxed);
        self.present
            .store(present | (1 << (position & 15)), Relaxed);
    }

    // The last page in front of a position.
    fn before(&self, position: u32) -> Option<ZsPage> {
        let below =
            u32::from(self.present.load(Relaxed)) & 1u32.wrapping_shl(position).wrapping_sub(1);
        self.page_at(below.checked_ilog2()?)
    }

    // The page at a position, if it is there.
    #[inline]
    fn page_at(&self, position: u32) -> Option<ZsPage> {
        // SAFETY: By the type invariants, all pages of the chain belong to the zspage.
        unsafe { self.first.get()?.find(position) }
    }

    // Whether nothing that touches the page at `position`, which is there, is in use.
    #[inline]
    fn is_unused(&self, position: usize) -> bool {
        !self.slots.any_closed(self.backed_slots(position))
    }

    /// Remembers that a page on which nothing is in use may be kept.
    #[inline]
    pub(super) fn keep_unused(&self) {
        self.has_unused.store(true, Relaxed);
    }

    /// Takes out every page on which nothing is in use and that nobody has locked, and gives each to
    /// `release`, with how many slots that closed. The class lock is held.
    pub(super) fn detach_all_unused(&self, mut release: impl FnMut(NewPage, usize)) {
        if !self.has_unused.load(Relaxed) {
            return;
        }
        self.has_unused.store(false, Relaxed);
        let mut next = self.first.get();
        while let Some(page) = next {
            // SAFETY: By the type invariants, the page belongs to the zspage.
            next = unsafe { page.next() };
            if let Some((page, closed)) = self.detach_unused(page) {
                release(page, closed);
            }
        }
    }

    /// Takes a page on which nothing is in use out of the chain; `None` if something is, or if
    /// somebody has the page locked. The class lock is held.
    pub(super) fn detach_unused(&self, page: ZsPage) -> Option<(NewPage, usize)> {
        // SAFETY: The caller found the page in this zspage under the class lock.
        let position = unsafe { page.position() } as usize;
        if !self.is_unused(position) {
            return None;
        }
        // SAFETY: As above.
        if !unsafe { page.try_lock() } {
            self.keep_unused();
            return None;
        }
        Some(self.detach(page, position))
    }

    // Takes a locked page out of the chain, whatever is on it. Also returns how many slots that
    // closed.
    fn detach(&self, page: ZsPage, position: usize) -> (NewPage, usize) {
        // Those that were in use are closed already.
        let backed = self.backed_slots(position);
        let closed = self.slots.close_range(backed);
        self.count(OPEN_ONE.wrapping_mul(closed as u32).wrapping_neg());
        let before = self.before(position as u32);
        // SAFETY: By the type invariants, all these belong to the zspage.
        unsafe {
            let next = page.next();
            match before {
                None => {
                    if let Some(next) = next {
                        next.set_first(true);
                    }
                    self.first.set(next);
                }
                Some(before) => before.set_next(next),
            }
        }
        let present = self.present.load(Relaxed);
        self.present
            .store(present & !(1 << (position & 15)), Relaxed);
        let page = NewPage {
            page,
            is_movable: true,
        };
        (page, closed)
    }

    /// The zspage of a page.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage, and either the lock of that zspage's class, the lock of
    /// the page, or a pin on an object that touches it must be held for `'a`.
    pub unsafe fn of<'a>(page: ZsPage) -> Option<&'a Zspage> {
        // SAFETY: By the safety requirements the page belongs to a zspage, which is its owner,
        // and which is not released meanwhile: that takes the class lock and all page locks, and
        // an object that is pinned keeps it from being empty.
        unsafe { page.owner().map(|owner| owner.cast().as_ref()) }
    }

    /// Puts `new` in the place of `old` in the chain. The class lock and both page locks are held.
    ///
    /// # Safety
    ///
    /// `old` must belong to this zspage; `new` must belong to nobody and hold the same bytes.
    pub(super) unsafe fn replace_page(&self, old: ZsPage, new: ZsPage) {
        let owner = NonNull::from(self).cast();
        let mut before = None;
        for page in self.pages() {
            if page == old {
                break;
            }
            before = Some(page);
        }
        // SAFETY: `old` and `before` belong to this zspage, `new` to nobody.
        unsafe {
            new.attach(owner, old.position());
            new.take_link(old);
            match before {
                None => {
                    new.set_first(true);
                    self.first.set(Some(new));
                }
                Some(before) => before.set_next(Some(new)),
            }
        }
    }
}

impl<'a> Object<'a> {
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
        Some(Self {
            class: guard.class(),
            zspage,
            page,
            address: place.address(),
            index: guard.class().index_at(start),
        })
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
        if self.zspage.slots.open(self.index) {
            self.zspage.count(OPEN_ONE.wrapping_sub(INUSE_ONE));
        }
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
        let before = offset != 0 && zspage.slots.is_closed(self.index.wrapping_sub(1));
        let after = end & (PAGE_SIZE - 1) != 0
            && next < usize::from(self.class.shape().objs)
            && zspage.slots.is_closed(next);
        let kept = if end <= PAGE_SIZE {
            before || after
        } else {
            before && after
        };
        kept && zspage.present.load(Relaxed) == self.class.all_present()
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

impl<'c> InHand<'c> {
    /// Takes what a list of `class` gave up.
    pub(super) fn from_box(_class: &'c SizeClass, zspage: SlabBox<Zspage>) -> Self {
        Self(Some(zspage), PhantomData)
    }

    /// Gives the zspage to a list, or to whoever releases it.
    pub(super) fn into_box(mut self) -> Option<SlabBox<Zspage>> {
        self.0.take()
    }

    /// Takes out every page that can be locked at once, whatever is on it, and gives each to
    /// `release`. Returns the zspage, and a reference to a page that somebody has locked, if there
    /// is one. The class lock is held.
    pub(super) fn strip(&self, mut release: impl FnMut(NewPage, usize)) -> Option<ZsPage> {
        let mut next = self.first.get();
        let mut contended = None;
        while let Some(page) = next {
            // SAFETY: By the type invariants, the page belongs to the zspage.
            unsafe { next = page.next() };
            // SAFETY: As above.
            if unsafe { page.try_lock() } {
                // SAFETY: As above.
                let position = unsafe { page.position() } as usize;
                let (detached, closed) = self.detach(page, position);
                release(detached, closed);
            } else if contended.is_none() {
                // SAFETY: As above.
                unsafe { page.get() };
                contended = Some(page);
            }
        }
        contended
    }

    /// Frees a zspage that has no pages. One that has some is reported, and lost.
    pub fn release(self) {
        if self.page_count() == 0 {
            drop(self.into_box());
        }
    }
}

impl Deref for InHand<'_> {
    type Target = Zspage;

    fn deref(&self) -> &Zspage {
        match &self.0 {
            Some(zspage) => zspage,
            // Only `into_box` takes it out, and it consumes the hand.
            None => report::unreachable(),
        }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if let Some(zspage) = self.0.take() {
            // The memory is lost, but its pages still name it.
            report::forgotten_zspage();
            zspage.leak();
        }
    }
}

impl NewPage {
    /// Allocates a page; [`ENOMEM`] if there is none. Context: as `gfp` says.
    pub fn alloc(gfp: Gfp) -> Result<Self> {
        let page = ZsPage::alloc(gfp).ok_or(ENOMEM)?;
        Ok(Self {
            page,
            is_movable: false,
        })
    }

    fn into_page(self) -> (ZsPage, bool) {
        let this = ManuallyDrop::new(self);
        (this.page, this.is_movable)
    }
}

impl Drop for NewPage {
    fn drop(&mut self) {
        // SAFETY: The page is in no zspage, so it is ours alone, and it is locked.
        unsafe {
            if self.is_movable {
                self.page.release();
            } else {
                self.page.discard();
            }
        }
    }
}
