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
use core::ops::Deref;
use core::ptr::NonNull;

use super::class::{ClassGuard, SizeClass};
use super::fullness::Group;
use super::slots::SlotMap;
use super::word::Place;
use crate::sys::atomic::{AtomicU16, AtomicU8, Ordering::Relaxed};
use crate::sys::list::{Linked, Links};
use crate::sys::page::{PageCell, ZsPage, PAGE_SHIFT, PAGE_SIZE};
use crate::sys::prelude::*;
use crate::sys::report;
use crate::sys::slab::SlabBox;

const NO_GROUP: u8 = u8::MAX;
// Beside the group: the zspage had an open slot.
const OPEN: u8 = 0x10;

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
/// - A slot is open only if all its pages are present; `open` counts these. A slot that is closed
///   while all its pages are present is in use; `inuse` counts these.
/// - `group` is the number of the list the zspage is on, or [`NO_GROUP`] while it is in a hand.
#[repr(C)]
pub struct Zspage {
    links: Links,
    class: NonNull<SizeClass>,
    first: PageCell,
    inuse: AtomicU16,
    open: AtomicU16,
    // Bit n is set while the page at position n is there.
    present: AtomicU16,
    group: AtomicU8,
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
    zspage: &'a Zspage,
    page: ZsPage,
    // In the page.
    offset: usize,
    index: usize,
}

fn add(counter: &AtomicU16, n: usize) {
    counter.store(counter.load(Relaxed).saturating_add(n as u16), Relaxed);
}

fn sub(counter: &AtomicU16, n: usize) {
    counter.store(counter.load(Relaxed).saturating_sub(n as u16), Relaxed);
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
                inuse: AtomicU16::new(0),
                open: AtomicU16::new(0),
                present: AtomicU16::new(0),
                group: AtomicU8::new(NO_GROUP),
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

    /// Objects in use.
    pub fn inuse(&self) -> u32 {
        u32::from(self.inuse.load(Relaxed))
    }

    /// Slots that an object can be put into without another page.
    pub fn open_slots(&self) -> usize {
        usize::from(self.open.load(Relaxed))
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
        Some(self.listed()?.0)
    }

    /// The list the zspage is on, and whether it had an open slot when it was put there.
    pub(super) fn listed(&self) -> Option<(Group, bool)> {
        let listed = self.group.load(Relaxed);
        let group = Group::new(usize::from(listed & !OPEN))?;
        Some((group, listed & OPEN != 0))
    }

    pub(super) fn is_listed_open(&self) -> bool {
        self.listed().is_some_and(|(_, open)| open)
    }

    /// Says that the zspage was put on a list, or taken off.
    ///
    /// Only the class, when it did that, calls this.
    pub(super) fn set_listed(&self, listed: Option<(Group, bool)>) {
        let listed = listed.map_or(NO_GROUP, |(group, open)| {
            group.number() as u8 | if open { OPEN } else { 0 }
        });
        self.group.store(listed, Relaxed);
    }

    /// The pages of the chain, in order. The class lock, or ownership, keeps the chain as it is.
    fn pages(&self) -> impl Iterator<Item = ZsPage> + '_ {
        core::iter::successors(self.first.get(), |page| {
            // SAFETY: By the type invariants, the page belongs to the zspage.
            unsafe { page.next() }
        })
    }

    /// Takes an open slot for an object.
    pub(super) fn take_object<'a>(&'a self, guard: &'a ClassGuard<'_>) -> Option<Object<'a>> {
        let object = self.object(guard, self.slots.close_first()?)?;
        add(&self.inuse, 1);
        sub(&self.open, 1);
        Some(object)
    }

    // The object of this index, in use or not, if its page is there. Its page may change as soon
    // as the class lock is let go, hence the guard.
    #[inline]
    fn object<'a>(&'a self, _guard: &'a ClassGuard<'_>, index: usize) -> Option<Object<'a>> {
        let start = self.class().offset(index);
        let position = (start >> PAGE_SHIFT) as u32;
        let page = self.pages().find(|page| {
            // SAFETY: By the type invariants, the page belongs to the zspage.
            unsafe { page.position() == position }
        })?;
        Some(Object {
            zspage: self,
            page,
            offset: start & (PAGE_SIZE - 1),
            index,
        })
    }

    /// The last object in use below index `end`.
    pub(super) fn last_used<'a>(
        &'a self,
        guard: &'a ClassGuard<'_>,
        end: usize,
    ) -> Option<Object<'a>> {
        let mut index = self.slots.prev_closed(end)?;
        while !self.is_backed(index) {
            index = self.slots.prev_closed(index)?;
        }
        self.object(guard, index)
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
        let mut opened = 0usize;
        for index in self.class().touching(position as usize) {
            if self.is_backed(index) && self.slots.open(index) {
                opened = opened.wrapping_add(1);
            }
        }
        add(&self.open, opened);
        Ok(opened)
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
        self.pages()
            // SAFETY: By the type invariants, the page belongs to the zspage.
            .take_while(|page| unsafe { page.position() < position })
            .last()
    }

    // Whether nothing that touches the page at `position` is in use.
    fn is_unused(&self, position: usize) -> bool {
        let slots = self.class().touching(position);
        let last = slots.end.wrapping_sub(1);
        // Slots inside the page are backed, so a closed one is in use; those at its borders need
        // a neighbour, too.
        self.slots
            .next_closed(slots.start.wrapping_add(1), last)
            .is_none()
            && !self.is_used(slots.start)
            && !self.is_used(last)
    }

    /// The page at `position`, if it is there and nothing on it is in use.
    pub(super) fn unused_page(&self, position: usize) -> Option<ZsPage> {
        if !self.is_present(position) || !self.is_unused(position) {
            return None;
        }
        self.pages().find(|page| {
            // SAFETY: By the type invariants, the page belongs to the zspage.
            unsafe { page.position() as usize == position }
        })
    }

    /// Takes a page on which nothing is in use out of the chain; `None` if something is, or if
    /// somebody has the page locked. The class lock is held.
    pub(super) fn detach_unused(&self, page: ZsPage) -> Option<(NewPage, usize)> {
        // SAFETY: The caller found the page in this zspage under the class lock.
        let position = unsafe { page.position() } as usize;
        // SAFETY: As above.
        if !self.is_unused(position) || !unsafe { page.try_lock() } {
            return None;
        }
        Some(self.detach(page, position))
    }

    // Takes a locked page out of the chain, whatever is on it. Also returns how many slots that
    // closed.
    fn detach(&self, page: ZsPage, position: usize) -> (NewPage, usize) {
        let mut closed = 0usize;
        for index in self.class().touching(position) {
            if self.slots.close(index) {
                closed = closed.wrapping_add(1);
            }
        }
        sub(&self.open, closed);
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
            zspage,
            page,
            offset: place.offset(),
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
        let shape = self.zspage.class().shape();
        Place::new(
            self.page.pfn(),
            self.offset,
            usize::from(shape.index),
            self.spans(),
            shape.is_huge(),
        )
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
        self.offset
            .wrapping_add(self.zspage.class().shape().size as usize)
            > PAGE_SIZE
    }

    /// The handle at the head of the object; zero if it is free.
    #[inline]
    pub fn head(&self) -> u64 {
        // SAFETY: The page belongs to the object's zspage, and the offset of an object is a
        // multiple of eight below the size of a page.
        unsafe {
            if self.zspage.class().shape().is_huge() {
                self.page.huge_head()
            } else {
                self.page.read_u64(self.offset)
            }
        }
    }

    /// Writes the head of the object.
    #[inline]
    pub(super) fn set_head(&self, head: u64) {
        // SAFETY: As in `head`.
        unsafe {
            if self.zspage.class().shape().is_huge() {
                self.page.set_huge_head(head);
            } else {
                self.page.write_u64(self.offset, head);
            }
        }
    }

    /// Gives the object back to its zspage. Its slot is open then.
    pub(super) fn release(&self) {
        // The head first: nobody may find the handle in an object that is free.
        self.set_head(0);
        if self.zspage.slots.open(self.index) {
            sub(&self.zspage.inuse, 1);
            add(&self.zspage.open, 1);
        }
    }

    /// Whether its neighbours keep the pages that it is on. It is if so; if not, it may still be.
    #[inline]
    pub(super) fn keeps_its_pages(&self) -> bool {
        let zspage = self.zspage;
        let end = self
            .offset
            .wrapping_add(zspage.class().shape().size as usize);
        // A neighbour touches the page only if it does not end, or begin, with the page.
        let before = self.offset != 0 && zspage.is_used(self.index.wrapping_sub(1));
        if before && end <= PAGE_SIZE {
            return true;
        }
        let after = end & (PAGE_SIZE - 1) != 0 && zspage.is_used(self.index.wrapping_add(1));
        after && (before || end <= PAGE_SIZE)
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
        let size = self.zspage.class().shape().size as usize;
        if self.zspage.class().shape().is_huge() {
            to.set_head(self.head());
        }
        let (mut from_page, mut from_offset) = (self.page, self.offset);
        let (mut to_page, mut to_offset) = (to.page, to.offset);
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
