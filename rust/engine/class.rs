// SPDX-License-Identifier: GPL-2.0

//! A size class: its zspages, sorted by fullness, and the lock that protects them.
//!
//! The lock of the class protects: the lists; which zspage is in whose hand; each zspage's chain,
//! bitmap and count; the heads of objects; the place in a word (which changes only while that word
//! is locked too); and the class's free handles.

use core::cell::Cell;
use core::ops::Range;
use core::ptr::NonNull;

use super::fullness::{Group, Grouping, NR_GROUPS};
use super::geometry::{ClassShape, MAX_CHAIN_LIMIT};
use super::handle_table::{FreeHandles, Handle, HandleTable};
use super::pool::Pool;
use super::zspage::{InHand, NewPage, Zspage};
use crate::sys::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sys::list::List;
use crate::sys::page::{ZsPage, PAGE_SHIFT, PAGE_SIZE};
use crate::sys::prelude::*;
use crate::sys::slab::SlabBox;
use crate::sys::spinlock::{LockClass, SpinGuard, SpinLock};

/// Fewest and most handles that a class takes from the pool's table at once.
///
/// Many, so that the table is rarely written; few, so that a small pool stays small.
const HANDLE_BATCH: Range<usize> = 8..64;

/// How many free handles a class gives back at once when pages go; it keeps twice as many.
const SPARE_HANDLES: usize = 64;

/// A counter that is written under the class lock and read by anybody.
pub struct Counter(AtomicUsize);

impl Counter {
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Its value now.
    pub fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    fn add(&self, n: usize) {
        self.0.store(self.get().wrapping_add(n), Relaxed);
    }

    fn sub(&self, n: usize) {
        self.0.store(self.get().wrapping_sub(n), Relaxed);
    }
}

/// What the lock of a class protects.
#[pin_data]
struct ClassState {
    #[pin]
    lists: [List<Zspage>; NR_GROUPS],
    // Bit n is set while list n is not empty.
    occupied: Cell<u16>,
    // Bit n is set while a zspage on list n has an open slot. These are in front of all others.
    open: Cell<u16>,
    handles: FreeHandles,
}

/// Zspages of one object size.
#[pin_data]
pub struct SizeClass {
    shape: ClassShape,
    grouping: Grouping,
    // By position of a page: the slots that touch it.
    touching: [Range<u16>; MAX_CHAIN_LIMIT],
    pool: NonNull<Pool>,
    zspages: [Counter; NR_GROUPS],
    objs_allocated: Counter,
    objs_inuse: Counter,
    pages: Counter,
    #[pin]
    state: SpinLock<ClassState>,
}

// SAFETY: The class is used through its lock, its counters are atomic, the rest is constant.
unsafe impl Send for SizeClass {}
// SAFETY: As above.
unsafe impl Sync for SizeClass {}

/// The lock of a class, held.
pub struct ClassGuard<'a> {
    class: &'a SizeClass,
    state: SpinGuard<'a, ClassState>,
}

/// A row of the `classes` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// Zspages per fullness group.
    pub zspages: [usize; NR_GROUPS],
    /// Objects that there are pages for.
    pub objs_allocated: usize,
    /// Objects in use.
    pub objs_inuse: usize,
    /// Pages.
    pub pages: usize,
    /// Pages that compaction could free.
    pub freeable: usize,
}

impl SizeClass {
    /// A class without zspages, for `pool`.
    ///
    /// # Safety
    ///
    /// The pool must outlive the class.
    pub unsafe fn new(shape: ClassShape, pool: NonNull<Pool>) -> impl PinInit<Self> {
        let touching = core::array::from_fn(|position| slots_touching(shape, position));
        pin_init!(Self {
            shape,
            grouping: Grouping::new(shape.objs),
            touching,
            pool,
            zspages: [const { Counter::new() }; NR_GROUPS],
            objs_allocated: Counter::new(),
            objs_inuse: Counter::new(),
            pages: Counter::new(),
            state <- SpinLock::new(LockClass::SizeClass, pin_init!(ClassState {
                lists <- pin_init_array_from_fn(|_| List::new()),
                occupied: Cell::new(0),
                open: Cell::new(0),
                handles: FreeHandles::new(),
            })),
        })
    }

    /// What the class looks like.
    pub fn shape(&self) -> &ClassShape {
        &self.shape
    }

    /// The pool that the class belongs to.
    pub fn pool(&self) -> &Pool {
        // SAFETY: The pool outlives the class, by the safety requirements of `new`.
        unsafe { self.pool.as_ref() }
    }

    /// Where the object of this index begins, in bytes from the start of the zspage.
    pub fn offset(&self, index: usize) -> usize {
        // A zspage is at most sixteen pages, so this is far from overflowing.
        index.wrapping_mul(self.shape.size as usize)
    }

    /// The slots of which a part is on the page at `position`.
    pub fn touching(&self, position: usize) -> Range<usize> {
        self.touching.get(position).map_or(0..0, |slots| {
            usize::from(slots.start)..usize::from(slots.end)
        })
    }

    /// The index of the object that the byte at `offset` of a zspage belongs to.
    #[inline]
    pub fn index_at(&self, offset: usize) -> usize {
        // As numbers of 32 bits: half the time of a division of 64.
        (offset as u32).checked_div(self.shape.size).unwrap_or(0) as usize
    }

    /// Pages that the class has.
    pub fn pages(&self) -> usize {
        self.pages.get()
    }

    /// Takes the lock of the class.
    pub fn lock(&self) -> ClassGuard<'_> {
        ClassGuard {
            class: self,
            state: self.state.lock(),
        }
    }

    /// Pages that objects of this class need at least: full zspages, and a part of one.
    fn pages_needed(&self, objs: usize) -> usize {
        let per_zspage = usize::from(self.shape.objs);
        let full = objs.checked_div(per_zspage).unwrap_or(0);
        let rest = objs.wrapping_sub(full.wrapping_mul(per_zspage));
        full.saturating_mul(usize::from(self.shape.pages))
            .saturating_add(self.offset(rest).div_ceil(PAGE_SIZE))
    }

    /// Pages that compaction could free. Without the lock this is an estimate.
    pub fn freeable_pages(&self) -> usize {
        // The counters may be read in between two changes: never below zero.
        self.pages
            .get()
            .saturating_sub(self.pages_needed(self.objs_inuse.get()))
    }

    /// A row of the `classes` table.
    pub fn stats(&self) -> ClassStats {
        let _guard = self.lock();
        ClassStats {
            zspages: core::array::from_fn(|i| self.zspages.get(i).map_or(0, Counter::get)),
            objs_allocated: self.objs_allocated.get(),
            objs_inuse: self.objs_inuse.get(),
            pages: self.pages.get(),
            freeable: self.freeable_pages(),
        }
    }
}

impl<'a> ClassGuard<'a> {
    /// The class.
    pub fn class(&self) -> &'a SizeClass {
        self.class
    }

    /// Lets go of the lock, calls `f`, takes the lock again.
    ///
    /// What is in hand stays in hand; nothing borrowed from the guard survives.
    pub fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.state.unlocked(f)
    }

    /// Whether another CPU waits for the lock.
    pub fn is_contended(&self) -> bool {
        self.state.is_contended()
    }

    #[inline]
    fn list(&self, group: Group) -> &List<Zspage> {
        group.of(&self.state.lists)
    }

    #[inline]
    fn count(&self, group: Group) -> &Counter {
        group.of(&self.class.zspages)
    }

    /// Puts a zspage on the list of its fullness group.
    pub fn put(&self, hand: InHand<'_>) {
        // One of another class stays in the hand, which reports it.
        if !core::ptr::eq(hand.class(), self.class) {
            return;
        }
        let listed = self.belongs(&hand);
        if let Some(zspage) = hand.into_box() {
            self.link(zspage, listed);
        }
    }

    /// Takes a zspage of this class off its list; `None` if it is in a hand already.
    pub fn take(&self, zspage: &Zspage) -> Option<InHand<'a>> {
        if !core::ptr::eq(zspage.class(), self.class) {
            return None;
        }
        let (group, _) = zspage.listed()?;
        let zspage = self.unlink(zspage, group);
        Some(InHand::from_box(self.class, zspage))
    }

    // The list a zspage should be on, and whether it has an open slot.
    #[inline]
    fn belongs(&self, zspage: &Zspage) -> (Group, bool) {
        (
            self.class.grouping.group(zspage.inuse()),
            zspage.open_slots() != 0,
        )
    }

    // Those with an open slot in front, so that one is found without a search.
    #[inline]
    fn link(&self, zspage: SlabBox<Zspage>, (group, open): (Group, bool)) {
        let bit = group.bit();
        zspage.set_listed(Some((group, open)));
        self.state.occupied.set(self.state.occupied.get() | bit);
        let list = self.list(group);
        if open {
            self.state.open.set(self.state.open.get() | bit);
            list.push_front(zspage);
        } else {
            list.push_back(zspage);
        }
        self.count(group).add(1);
    }

    // The zspage is one of this class, on the list of that group.
    #[inline]
    fn unlink(&self, zspage: &Zspage, group: Group) -> SlabBox<Zspage> {
        let list = self.list(group);
        // SAFETY: A zspage of this class that has a group is on that list, by its invariants.
        let zspage = unsafe { list.remove(zspage) };
        zspage.set_listed(None);
        self.count(group).sub(1);
        let bit = group.bit();
        let front = list.front();
        if front.is_none() {
            self.state.occupied.set(self.state.occupied.get() & !bit);
        }
        if !front.is_some_and(Zspage::is_listed_open) {
            self.state.open.set(self.state.open.get() & !bit);
        }
        zspage
    }

    /// Takes the first zspage of a group.
    pub fn pop(&self, group: Group) -> Option<InHand<'a>> {
        self.take(self.list(group).front()?)
    }

    /// Puts a zspage on the right list after it changed, unless it is in a hand.
    #[inline]
    pub fn regroup(&self, zspage: &Zspage) {
        let belongs = self.belongs(zspage);
        match zspage.listed() {
            Some(listed) if listed != belongs => self.relist(zspage, listed.0, belongs),
            _ => {}
        }
    }

    #[inline(never)]
    fn relist(&self, zspage: &Zspage, from: Group, to: (Group, bool)) {
        if core::ptr::eq(zspage.class(), self.class) {
            self.link(self.unlink(zspage, from), to);
        }
    }

    /// The fullest zspage that has an open slot, from 99 % down to 0.
    pub fn fullest_open(&self) -> Option<&Zspage> {
        let group = Group::new(self.state.open.get().checked_ilog2()? as usize)?;
        self.list(group).front()
    }

    /// The fullest zspage that is not full.
    fn fullest_partial(&self) -> Option<&Zspage> {
        let groups = self.state.occupied.get() & !Group::FULL.bit();
        self.list(Group::new(groups.checked_ilog2()? as usize)?)
            .front()
    }

    /// Takes the fullest zspage that objects can be moved into.
    pub fn isolate_destination(&self) -> Option<InHand<'a>> {
        let zspage = self.fullest_partial()?;
        if zspage.inuse() == 0 {
            return None;
        }
        self.take(zspage)
    }

    /// The same, if no page can be had to add to it.
    pub fn isolate_open_destination(&self) -> Option<InHand<'a>> {
        self.take(self.fullest_open()?)
    }

    /// Takes the emptiest zspage that has an object to move.
    pub fn isolate_source(&self) -> Option<InHand<'a>> {
        let groups = self.state.occupied.get() & !Group::EMPTY.bit();
        let group = Group::new(groups.trailing_zeros() as usize)?;
        if group == Group::FULL {
            return None;
        }
        self.pop(group)
    }

    /// Whether the class has no free handle left.
    pub fn needs_handles(&self) -> bool {
        self.state.handles.is_empty()
    }

    /// How many handles the class should take from the pool's table.
    pub fn handle_batch(&self) -> usize {
        (self.class.objs_inuse.get() / 8).clamp(HANDLE_BATCH.start, HANDLE_BATCH.end)
    }

    /// Gives free handles to the class.
    pub fn add_handles(&self, table: &HandleTable, handles: FreeHandles) {
        self.state.handles.append(table, handles);
    }

    /// Takes the handles that the class has too many of.
    pub fn take_spare_handles(&self, table: &HandleTable) -> FreeHandles {
        // A part at a time: the chain is walked, and the class lock is held.
        if self.state.handles.len() > 2 * SPARE_HANDLES {
            self.state.handles.split(table, SPARE_HANDLES)
        } else {
            FreeHandles::new()
        }
    }

    /// The zspage that a page should be added to, if no slot is open: the fullest that misses one.
    pub fn growable(&self) -> Option<&Zspage> {
        self.fullest_partial()
            .filter(|zspage| zspage.next_position().is_some())
    }

    /// Adds a page to a zspage of this class. The caller regroups it.
    pub fn add_page(&self, zspage: &Zspage, page: NewPage) -> Result<(), NewPage> {
        let opened = zspage.add_page(page)?;
        self.class.objs_allocated.add(opened);
        self.class.pages.add(1);
        self.class.pool().count_pages(self.class, 1);
        Ok(())
    }

    /// Takes a page on which nothing is in use out of a zspage of this class, if nobody has it
    /// locked. The caller regroups the zspage.
    pub fn detach_unused(&self, zspage: &Zspage, page: ZsPage) -> Option<NewPage> {
        let (page, closed) = zspage.detach_unused(page)?;
        self.page_gone(closed);
        Some(page)
    }

    /// Counts a page that left the class with `closed` open slots.
    pub(super) fn page_gone(&self, closed: usize) {
        self.class.objs_allocated.sub(closed);
        self.class.pages.sub(1);
        self.class.pool().count_pages(self.class, -1);
    }

    /// Allocates an object of `zspage` and the handle for it.
    ///
    /// `None` if no slot is open or the class has no handle. The caller regroups the zspage.
    pub fn malloc(&self, table: &HandleTable, zspage: &Zspage) -> Option<Handle> {
        if self.needs_handles() {
            return None;
        }
        let object = zspage.take_object(self)?;
        let Some((handle, word)) = self.state.handles.pop(table) else {
            object.release();
            return None;
        };
        object.set_head(handle.in_object());
        word.publish(object.place());
        self.class.objs_inuse.add(1);
        Some(handle)
    }

    /// The class's free handles, for `free`.
    pub(super) fn handles(&self) -> &FreeHandles {
        &self.state.handles
    }

    /// Counts an object that was freed.
    pub(super) fn object_freed(&self) {
        self.class.objs_inuse.sub(1);
    }
}

fn slots_touching(shape: ClassShape, position: usize) -> Range<u16> {
    let index_at = |offset: usize| offset.checked_div(shape.size as usize).unwrap_or(0);
    let start = position << PAGE_SHIFT;
    let first = index_at(start);
    let end = index_at(start.wrapping_add(PAGE_SIZE - 1)).saturating_add(1);
    // Below 2^16, as the number of objects is.
    let cap = |index: usize| index.min(usize::from(shape.objs)) as u16;
    cap(first)..cap(end)
}
