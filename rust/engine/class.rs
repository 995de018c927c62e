// SPDX-License-Identifier: GPL-2.0

//! A size class: its zspages, sorted by fullness, and the lock that protects them.
//!
//! The lock of the class protects: the lists; which zspage is in whose hand; each zspage's chain,
//! bitmap and count; the heads of objects; the place in a word (which changes only while that word
//! is locked too); and the class's free handles.

use core::cell::Cell;
use core::ptr::NonNull;

use super::fullness::{Group, Grouping, NR_GROUPS};
use super::geometry::ClassShape;
use super::handle_table::{FreeHandles, Handle, HandleTable};
use super::pool::Pool;
use super::zspage::{InHand, Zspage};
use crate::sys::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sys::list::List;
use crate::sys::prelude::*;
use crate::sys::spinlock::{SpinGuard, SpinLock};

/// How many free handles a class may keep beyond those its zspages need.
///
/// So that a class whose zspages come and go, the huge one above all, does not go to the pool's
/// table each time.
const SPARE_HANDLES: usize = 64;

/// A counter that is written under the class lock and read by anybody.
pub struct Counter(AtomicUsize);

impl Counter {
    const fn new() -> Self {
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
    // At least as many as the class has free objects.
    handles: FreeHandles,
    // Of these, set aside for zspages that are being allocated.
    claimed_handles: Cell<usize>,
}

/// Zspages of one object size.
#[pin_data]
pub struct SizeClass {
    shape: ClassShape,
    grouping: Grouping,
    pool: NonNull<Pool>,
    zspages: [Counter; NR_GROUPS],
    objs_allocated: Counter,
    objs_inuse: Counter,
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
    /// Objects that the zspages have room for.
    pub objs_allocated: usize,
    /// Objects in use.
    pub objs_inuse: usize,
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
        pin_init!(Self {
            shape,
            grouping: Grouping::new(shape.objs),
            pool,
            zspages: [const { Counter::new() }; NR_GROUPS],
            objs_allocated: Counter::new(),
            objs_inuse: Counter::new(),
            state <- SpinLock::new(pin_init!(ClassState {
                lists <- pin_init_array_from_fn(|_| List::new()),
                occupied: Cell::new(0),
                handles: FreeHandles::new(),
                claimed_handles: Cell::new(0),
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

    /// The index of the object that the byte at `offset` of a zspage belongs to.
    pub fn index_at(&self, offset: usize) -> usize {
        offset.checked_div(self.shape.size as usize).unwrap_or(0)
    }

    /// Takes the lock of the class.
    pub fn lock(&self) -> ClassGuard<'_> {
        ClassGuard {
            class: self,
            state: self.state.lock(),
        }
    }

    /// Pages that compaction could free. Without the lock this is an estimate.
    pub fn freeable_pages(&self) -> usize {
        // The counters may be read in between two changes: never below zero.
        let free = self
            .objs_allocated
            .get()
            .saturating_sub(self.objs_inuse.get());
        free.checked_div(usize::from(self.shape.objs))
            .unwrap_or(0)
            .saturating_mul(usize::from(self.shape.pages))
    }

    /// A row of the `classes` table.
    pub fn stats(&self) -> ClassStats {
        let _guard = self.lock();
        ClassStats {
            zspages: core::array::from_fn(|i| self.zspages.get(i).map_or(0, Counter::get)),
            objs_allocated: self.objs_allocated.get(),
            objs_inuse: self.objs_inuse.get(),
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

    fn list(&self, group: Group) -> Option<&List<Zspage>> {
        self.state.lists.get(group.number())
    }

    fn count(&self, group: Group) -> Option<&Counter> {
        self.class.zspages.get(group.number())
    }

    /// Puts a zspage on the list of its fullness group.
    pub fn put(&self, hand: InHand) {
        let group = self.class.grouping.group(hand.inuse());
        let (Some(list), Some(count)) = (self.list(group), self.count(group)) else {
            return;
        };
        let Some(zspage) = hand.into_box() else {
            return;
        };
        zspage.set_group(Some(group));
        list.push_front(zspage);
        count.add(1);
        let occupied = &self.state.occupied;
        occupied.set(occupied.get() | 1 << group.number());
    }

    /// Takes a zspage of this class off its list; `None` if it is in a hand already.
    pub fn take(&self, zspage: &Zspage) -> Option<InHand> {
        let group = zspage.group()?;
        let (list, count) = (self.list(group)?, self.count(group)?);
        // SAFETY: A zspage of this class that has a group is on that list, by its invariants.
        let zspage = unsafe { list.remove(zspage) };
        zspage.set_group(None);
        count.sub(1);
        if list.is_empty() {
            let occupied = &self.state.occupied;
            occupied.set(occupied.get() & !(1 << group.number()));
        }
        Some(InHand::from_box(zspage))
    }

    /// Takes the first zspage of a group.
    pub fn pop(&self, group: Group) -> Option<InHand> {
        self.take(self.list(group)?.front()?)
    }

    /// Puts a zspage on the right list after its count changed, unless it is in a hand.
    pub fn regroup(&self, zspage: &Zspage) {
        if zspage
            .group()
            .is_some_and(|group| group != self.class.grouping.group(zspage.inuse()))
        {
            if let Some(hand) = self.take(zspage) {
                self.put(hand);
            }
        }
    }

    /// The fullest zspage that has a free object, from 99 % down to 0.
    pub fn fullest(&self) -> Option<&Zspage> {
        let groups = self.state.occupied.get() & !(1 << Group::FULL.number());
        self.list(Group::new(groups.checked_ilog2()? as usize)?)?
            .front()
    }

    /// Takes the fullest zspage that objects can be moved into.
    pub fn isolate_destination(&self) -> Option<InHand> {
        let hand = self.take(self.fullest()?)?;
        if hand.inuse() == 0 {
            self.put(hand);
            return None;
        }
        Some(hand)
    }

    /// Takes the emptiest zspage that has an object to move.
    pub fn isolate_source(&self) -> Option<InHand> {
        let groups = self.state.occupied.get() & !(1 << Group::EMPTY.number());
        let group = Group::new(groups.trailing_zeros() as usize)?;
        if group == Group::FULL {
            return None;
        }
        self.pop(group)
    }

    /// Sets aside spare handles of the class for a new zspage; false if there are too few.
    ///
    /// Ends with [`ClassGuard::adopt`] or [`ClassGuard::unclaim_handles`].
    pub fn claim_handles(&self) -> bool {
        let objs = usize::from(self.class.shape.objs);
        let enough = self.spare_handles() >= objs;
        if enough {
            let claimed = &self.state.claimed_handles;
            claimed.set(claimed.get().saturating_add(objs));
        }
        enough
    }

    /// Ends a claim without a zspage.
    pub fn unclaim_handles(&self) {
        let claimed = &self.state.claimed_handles;
        let objs = usize::from(self.class.shape.objs);
        claimed.set(claimed.get().saturating_sub(objs));
    }

    fn spare_handles(&self) -> usize {
        let objs_free = self
            .class
            .objs_allocated
            .get()
            .saturating_sub(self.class.objs_inuse.get());
        self.state
            .handles
            .len()
            .saturating_sub(objs_free)
            .saturating_sub(self.state.claimed_handles.get())
    }

    /// Lets a new zspage join the class, with handles for all its objects or a claim for them.
    ///
    /// The zspage stays in hand.
    pub fn adopt(&self, table: &HandleTable, handles: Option<FreeHandles>) {
        match handles {
            Some(handles) => self.state.handles.append(table, handles),
            None => self.unclaim_handles(),
        }
        let objs = usize::from(self.class.shape.objs);
        self.class.objs_allocated.add(objs);
    }

    /// Lets an empty zspage leave the class. Returns the handles that are no longer needed.
    pub fn expel(&self, table: &HandleTable) -> FreeHandles {
        self.class
            .objs_allocated
            .sub(usize::from(self.class.shape.objs));
        let spare = self.spare_handles();
        let keep = SPARE_HANDLES.max(usize::from(self.class.shape.objs));
        if spare > keep.saturating_mul(2) {
            self.state.handles.split(table, spare.saturating_sub(keep))
        } else {
            FreeHandles::new()
        }
    }

    /// Allocates an object of `zspage` and the handle for it.
    ///
    /// `None` if the zspage is full. The caller regroups the zspage.
    pub fn malloc(&self, table: &HandleTable, zspage: &Zspage) -> Option<Handle> {
        let object = zspage.take_object()?;
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
