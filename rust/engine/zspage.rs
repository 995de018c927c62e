// SPDX-License-Identifier: GPL-2.0

//! A zspage: a chain of pages that holds the objects of one size class.
//!
//! Ownership rule: **a zspage is on one list or in one hand.** [`InHand`] is that hand. Taking a
//! zspage off a list yields one; putting it on a list ([`super::class::ClassGuard::put`]) or
//! locking it for release consumes it. There is no way to copy it, so adding a zspage to a list
//! twice, the bug that the fine-grained fullness series had, does not compile; and one that goes
//! out of scope with its zspage still in it reports that.

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

/// A chain of pages and what is in use of it.
///
/// Every field but `class` is protected by the lock of the class. They are atomic so that a wrong
/// read is a wrong value, not undefined behaviour.
///
/// # Invariants
///
/// - `class` outlives the zspage.
/// - Every page from `first` on, along the links, belongs to the zspage, has it as its owner and
///   stays allocated while the zspage exists or until the chain is changed under the class lock
///   and the lock of that page.
/// - `group` is the number of the list the zspage is on, or [`NO_GROUP`] while it is in a hand.
#[repr(C)]
pub struct Zspage {
    links: Links,
    class: NonNull<SizeClass>,
    first: PageCell,
    inuse: AtomicU16,
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

/// The sole owner of a zspage that is on no list.
#[must_use = "a zspage in hand has to go back on a list or be released"]
pub struct InHand(Option<SlabBox<Zspage>>);

/// A zspage in hand, all of whose pages are locked: migration cannot reach it any more.
#[must_use = "the pages stay locked until the zspage is released"]
pub struct Locked(InHand);

/// The outcome of locking all pages of a zspage.
pub enum LockOutcome {
    /// All are locked.
    Locked(Locked),
    /// Somebody has this page locked; none is locked now. The page is held by a reference.
    Contended(InHand, ZsPage),
}

/// An object in its zspage. The class lock, or a pin, keeps it there.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    zspage: &'a Zspage,
    page: ZsPage,
    index: usize,
}

impl Zspage {
    /// Allocates an empty zspage for `class`, of pages from the caller's `gfp`.
    ///
    /// Returns [`ENOMEM`] with everything given back. Context: as `gfp` says, no lock held.
    pub fn alloc(class: &SizeClass, gfp: Gfp) -> Result<InHand> {
        let shape = class.shape();
        let zspage = SlabBox::new(
            Zspage {
                links: Links::new(),
                class: NonNull::from(class),
                first: PageCell::new(),
                inuse: AtomicU16::new(0),
                group: AtomicU8::new(NO_GROUP),
                slots: SlotMap::new(usize::from(shape.objs)),
            },
            gfp,
        )?;
        let owner = NonNull::from(&*zspage).cast();
        let mut last: Option<ZsPage> = None;
        for position in 0..u32::from(shape.pages) {
            let Some(page) = ZsPage::alloc(gfp) else {
                zspage.discard_pages();
                return Err(ENOMEM);
            };
            // SAFETY: The page was just allocated for this zspage, nobody else knows it.
            unsafe { page.attach(owner, position) };
            match last {
                None => zspage.first.set(page),
                // SAFETY: `last` is a page of this zspage, as above.
                Some(last) => unsafe { last.set_next(page) },
            }
            last = Some(page);
        }
        // Before it is on a list: migration takes the class lock, and does not care about lists.
        for page in zspage.pages() {
            // SAFETY: The page belongs to the zspage, which is complete.
            unsafe { page.make_movable() };
        }
        Ok(InHand(Some(zspage)))
    }

    // Gives back the pages of a zspage that was not completed.
    fn discard_pages(&self) {
        let mut next = self.first.get();
        while let Some(page) = next {
            // SAFETY: By the type invariants, the page is ours, and it is not movable yet, so
            // nobody else has it.
            unsafe {
                next = page.next();
                page.discard();
            }
        }
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

    /// Whether every object is in use.
    pub fn is_full(&self) -> bool {
        self.inuse() >= u32::from(self.class().shape().objs)
    }

    /// The list the zspage is on, or `None` while it is in a hand.
    pub fn group(&self) -> Option<Group> {
        Group::new(usize::from(self.group.load(Relaxed)))
    }

    /// Says that the zspage was put on the list of `group`, or taken off.
    ///
    /// Only the class, when it did that, calls this.
    pub(super) fn set_group(&self, group: Option<Group>) {
        let number = group.map_or(NO_GROUP, |group| group.number() as u8);
        self.group.store(number, Relaxed);
    }

    /// The pages of the chain, in order. The class lock, or ownership, keeps the chain as it is.
    fn pages(&self) -> impl Iterator<Item = ZsPage> + '_ {
        core::iter::successors(self.first.get(), |page| {
            // SAFETY: By the type invariants, the page belongs to the zspage.
            unsafe { page.next() }
        })
    }

    /// Takes a free object. The class lock is held.
    pub(super) fn take_object(&self) -> Option<Object<'_>> {
        let index = self.slots.take_first()?;
        let object = self.object(index)?;
        self.inuse
            .store(self.inuse.load(Relaxed).saturating_add(1), Relaxed);
        Some(object)
    }

    /// The object of this index, in use or not. The class lock is held.
    pub(super) fn object(&self, index: usize) -> Option<Object<'_>> {
        let page = self.pages().nth(self.class().offset(index) >> PAGE_SHIFT)?;
        Some(Object {
            zspage: self,
            page,
            index,
        })
    }

    /// The first object in use at or after `from`. The class lock is held.
    pub(super) fn next_used(&self, from: usize) -> Option<Object<'_>> {
        let objs = usize::from(self.class().shape().objs);
        self.object(self.slots.next_used(from, objs)?)
    }

    /// The object of index `index`, if it is in use. The class lock is held.
    pub(super) fn used_object(&self, index: usize) -> Option<Object<'_>> {
        if self.slots.is_used(index) {
            self.object(index)
        } else {
            None
        }
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
                None => self.first.set(new),
                Some(before) => before.set_next(new),
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
    pub(super) unsafe fn at(guard: &'a ClassGuard<'_>, place: Place) -> Option<Self> {
        let _ = guard;
        // SAFETY: A live word's place names a page of a zspage, and the class lock is held.
        let (page, zspage) = unsafe {
            let page = ZsPage::from_pfn(place.pfn());
            (page, Zspage::of(page)?)
        };
        Some(Self {
            zspage,
            page,
            index: place.index(),
        })
    }

    /// Its zspage.
    pub fn zspage(&self) -> &'a Zspage {
        self.zspage
    }

    /// The page it begins in.
    pub fn page(&self) -> ZsPage {
        self.page
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        let class = usize::from(self.zspage.class().shape().index);
        Place::new(self.page.pfn(), self.index, class)
    }

    /// Its index in the zspage.
    pub fn index(&self) -> usize {
        self.index
    }

    fn offset_in_page(&self) -> usize {
        self.zspage.class().offset(self.index) & (PAGE_SIZE - 1)
    }

    /// The handle at the head of the object; zero if it is free.
    pub fn head(&self) -> u64 {
        // SAFETY: The page belongs to the object's zspage, and the offset of an object is a
        // multiple of eight below the size of a page.
        unsafe {
            if self.zspage.class().shape().is_huge() {
                self.page.huge_head()
            } else {
                self.page.read_u64(self.offset_in_page())
            }
        }
    }

    /// Writes the head of the object.
    pub(super) fn set_head(&self, head: u64) {
        // SAFETY: As in `head`.
        unsafe {
            if self.zspage.class().shape().is_huge() {
                self.page.set_huge_head(head);
            } else {
                self.page.write_u64(self.offset_in_page(), head);
            }
        }
    }

    /// Gives the object back to its zspage. False if it was not in use.
    pub(super) fn release(&self) -> bool {
        // The head first: nobody may find the handle in an object that is free.
        self.set_head(0);
        if !self.zspage.slots.release(self.index) {
            return false;
        }
        let inuse = &self.zspage.inuse;
        inuse.store(inuse.load(Relaxed).saturating_sub(1), Relaxed);
        true
    }

    /// Copies the object, its head included, to `to`, an object of the same class.
    ///
    /// Nobody may have either mapped.
    pub(super) fn copy_to(&self, to: &Object<'_>) {
        let size = self.zspage.class().shape().size as usize;
        if self.zspage.class().shape().is_huge() {
            to.set_head(self.head());
        }
        let (mut from_page, mut from_offset) = (self.page, self.offset_in_page());
        let (mut to_page, mut to_offset) = (to.page, to.offset_in_page());
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

impl InHand {
    /// Takes what a list gave up.
    pub(super) fn from_box(zspage: SlabBox<Zspage>) -> Self {
        Self(Some(zspage))
    }

    /// Gives the zspage to a list, or to whoever releases it.
    pub(super) fn into_box(mut self) -> Option<SlabBox<Zspage>> {
        self.0.take()
    }

    /// Locks every page, without waiting. The class lock is held, or nobody else knows the zspage.
    pub fn lock_pages(self) -> LockOutcome {
        let Some(contended) = self.pages().find(|page| !page.try_lock()) else {
            return LockOutcome::Locked(Locked(self));
        };
        for page in self.pages().take_while(|page| *page != contended) {
            // SAFETY: We locked it just now.
            unsafe { page.unlock() };
        }
        contended.get();
        LockOutcome::Contended(self, contended)
    }
}

impl Deref for InHand {
    type Target = Zspage;

    fn deref(&self) -> &Zspage {
        match &self.0 {
            Some(zspage) => zspage,
            // Only `into_box` takes it out, and it consumes the hand.
            None => report::unreachable(),
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(zspage) = self.0.take() {
            // The memory is lost, but its pages still name it.
            report::forgotten_zspage();
            zspage.leak();
        }
    }
}

impl Locked {
    /// Pages that [`Locked::release`] gives back.
    pub fn page_count(&self) -> usize {
        usize::from(self.0.class().shape().pages)
    }

    /// Gives back the pages and the zspage itself. No lock needs to be held.
    pub fn release(self) {
        let Some(zspage) = self.0.into_box() else {
            return;
        };
        let mut next = zspage.first.get();
        while let Some(page) = next {
            // SAFETY: The page belongs to the zspage, nobody else has that, and it is locked.
            unsafe {
                next = page.next();
                page.release();
            }
        }
    }
}
