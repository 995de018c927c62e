// SPDX-License-Identifier: GPL-2.0

//! A size class: its zspages on fullness lists, and the lock that protects them.
//!
//! The class lock protects the fullness lists, the isolation of zspages, the chain, bitmap and
//! counts of each zspage, the handles stored after objects, and the free handles of the class. It
//! also protects the location in an entry: changing that takes the class lock and the entry lock.

#![forbid(unsafe_code)]

use core::ops::Range;

use super::fullness::{Group, Grouping, NR_GROUPS};
use super::geometry::ClassShape;
use super::handle_entry::ObjLocation;
use super::handle_table::{FreeHandles, HandleEntries, HandleTable};
use super::layout::Layout;
use super::lists::FullnessLists;
use super::shared::Shared;
use super::sheaf::Sheaf;
use crate::sys::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sys::page::PAGE_SIZE;
use crate::sys::prelude::*;
use crate::sys::spinlock::{LockClass, SpinGuard, SpinLock};

/// Smallest and largest batch of handles that a class takes from the pool's table.
///
/// Large batches make writes to the table rare. Small batches keep a small pool small.
const HANDLE_BATCH: Range<usize> = 8..64;

/// A counter that is written under the class lock and read without it.
pub struct Counter(AtomicUsize);

impl Counter {
    pub(super) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Returns the current value.
    pub fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    fn set(&self, n: usize) {
        self.0.store(n, Relaxed);
    }

    fn add(&self, n: usize) {
        self.set(self.get().wrapping_add(n));
    }

    fn sub(&self, n: usize) {
        self.set(self.get().wrapping_sub(n));
    }
}

/// The data that the class lock protects.
#[pin_data]
struct ClassState {
    #[pin]
    lists: FullnessLists,
    handles: FreeHandles,
    // Another batch. It is given back when `handles` has become one again.
    spare: FreeHandles,
    sheaf: Sheaf,
}

/// The zspages of one object size.
///
/// A pool has up to about 290, and kmalloc rounds up to a power of two: 512 bytes without lock
/// debugging.
#[pin_data]
pub struct SizeClass {
    shape: ClassShape,
    grouping: Grouping,
    location_flags: ObjLocation,
    layout: Layout,
    shared: Arc<Shared>,
    objs_allocated: Counter,
    objs_inuse: Counter,
    pages: Counter,
    #[pin]
    state: SpinLock<ClassState>,
}

/// A held class lock.
pub struct ClassGuard<'a> {
    class: &'a SizeClass,
    state: SpinGuard<'a, ClassState>,
}

/// A row of the `classes` table in debugfs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassStats {
    /// Zspages in each fullness group.
    pub zspages: [usize; NR_GROUPS],
    /// Slots with all of their pages present.
    pub objs_allocated: usize,
    /// Objects in use.
    pub objs_inuse: usize,
    /// Pages in all zspages.
    pub pages: usize,
    /// Pages that compaction can free.
    pub freeable: usize,
}

impl SizeClass {
    /// Creates a class without zspages for the pool that owns `shared`.
    pub(super) fn new(shape: ClassShape, shared: Arc<Shared>) -> impl PinInit<Self> {
        let layout = Layout::new(&shape);
        pin_init!(Self {
            shape,
            grouping: Grouping::new(shape.objs),
            location_flags: ObjLocation::of_class(shape.is_huge()),
            layout,
            shared,
            objs_allocated: Counter::new(),
            objs_inuse: Counter::new(),
            pages: Counter::new(),
            state <- SpinLock::new(LockClass::Outer, pin_init!(ClassState {
                lists <- FullnessLists::new(),
                handles: FreeHandles::new(),
                spare: FreeHandles::new(),
                sheaf: Sheaf::new(),
            })),
        })
    }

    /// Returns the geometry of the class.
    pub fn shape(&self) -> &ClassShape {
        &self.shape
    }

    /// Returns the fullness group of a zspage with `inuse` objects in use.
    #[inline]
    pub(super) fn group(&self, inuse: u32) -> Group {
        self.grouping.group(inuse)
    }

    /// Returns the location bits that all objects of the class have in common.
    #[inline]
    pub(super) fn location_flags(&self) -> ObjLocation {
        self.location_flags
    }

    /// Returns the data that all classes of the pool share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn count_pages(&self, delta: isize) {
        self.shared.count_pages(self.shape.index, delta);
    }

    /// Returns the layout of slots in a zspage.
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the number of slots with all of their pages present. Any context.
    pub(super) fn objs_allocated(&self) -> usize {
        self.objs_allocated.get()
    }

    /// Returns the number of objects in use. Any context.
    pub(super) fn objs_inuse(&self) -> usize {
        self.objs_inuse.get()
    }

    /// Returns the number of objects that were freed and are kept for `malloc`. Takes the class lock.
    pub fn in_sheaf(&self) -> usize {
        self.lock().sheaf().len()
    }

    /// Returns the number of pages in the class. Any context.
    pub fn pages(&self) -> usize {
        self.pages.get()
    }

    /// Takes the class lock. Context: any but an interrupt.
    pub fn lock(&self) -> ClassGuard<'_> {
        ClassGuard {
            class: self,
            state: self.state.lock(),
        }
    }

    /// Returns the fewest pages that can hold `objs` objects: full zspages and part of another.
    fn pages_needed(&self, objs: usize) -> usize {
        let per_zspage = usize::from(self.shape.objs);
        let full = objs.checked_div(per_zspage).unwrap_or(0);
        let rest = objs.wrapping_sub(full.wrapping_mul(per_zspage));
        full.saturating_mul(usize::from(self.shape.pages))
            .saturating_add(self.layout.offset(rest).div_ceil(PAGE_SIZE))
    }

    /// Returns the number of pages that compaction can free. Without the class lock an estimate.
    pub fn freeable_pages(&self) -> usize {
        // Without the lock the counters may not match, so saturate.
        self.pages
            .get()
            .saturating_sub(self.pages_needed(self.objs_inuse.get()))
    }

    /// Returns a row of the `classes` table. Takes the class lock.
    pub fn stats(&self) -> ClassStats {
        let guard = self.lock();
        ClassStats {
            zspages: guard.lists().counts(),
            objs_allocated: self.objs_allocated.get(),
            objs_inuse: self.objs_inuse.get(),
            pages: self.pages.get(),
            freeable: self.freeable_pages(),
        }
    }
}

impl<'a> ClassGuard<'a> {
    /// Returns the class.
    #[inline]
    pub fn class(&self) -> &'a SizeClass {
        self.class
    }

    /// Returns whether this is the lock of `class`.
    #[inline]
    pub(super) fn is_of(&self, class: &SizeClass) -> bool {
        core::ptr::eq(self.class, class)
    }

    /// Returns the fullness lists.
    #[inline]
    pub(super) fn lists(&self) -> &FullnessLists {
        &self.state.lists
    }

    /// Drops the class lock, calls `f` and takes the lock again.
    ///
    /// Isolated zspages stay isolated. The exclusive borrow ends all references from this guard.
    pub fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.state.unlocked(f)
    }

    /// Returns whether another CPU waits for the lock.
    pub fn is_contended(&self) -> bool {
        self.state.is_contended()
    }

    /// Returns whether the class has no free handle at hand.
    pub fn needs_handles(&self) -> bool {
        self.state.handles.is_empty()
    }

    /// Returns how many handles the class takes from the pool's table at once.
    #[inline]
    fn handle_batch(&self) -> usize {
        (self.class.objs_inuse.get() / 16).clamp(HANDLE_BATCH.start, HANDLE_BATCH.end)
    }

    /// Uses the spare batch, or takes one from the table. If the table is locked or has to grow, returns
    /// the size of the batch as an error.
    #[inline(never)]
    pub(super) fn refill_handles(&self, table: &HandleTable) -> Result<(), usize> {
        if !self.state.spare.is_empty() {
            self.add_handles(table, self.state.spare.take());
            return Ok(());
        }
        let count = self.handle_batch();
        self.add_handles(table, table.try_reserve(count).ok_or(count)?);
        Ok(())
    }

    /// Adds free handles to the class.
    pub fn add_handles(&self, table: &HandleTable, handles: FreeHandles) {
        self.state.handles.append(self.entries(table), handles);
    }

    /// Takes the free handles that the class does not need: all if it has no object, otherwise the
    /// spare batch, once there is another to replace it.
    #[inline]
    pub fn take_spare_handles(&self, table: &HandleTable) -> FreeHandles {
        let state = &self.state;
        if self.is_empty() {
            return self.take_handles(table);
        }
        if state.handles.len() <= self.handle_batch() {
            return FreeHandles::new();
        }
        let unneeded = state.spare.take();
        state
            .spare
            .append(self.entries(table), state.handles.take());
        unneeded
    }

    /// Takes all free handles.
    pub(super) fn take_handles(&self, table: &HandleTable) -> FreeHandles {
        let handles = self.state.handles.take();
        handles.append(self.entries(table), self.state.spare.take());
        handles
    }

    /// Returns the entries of the pool's table. Holding the class lock is the read-side section.
    #[inline]
    pub(super) fn entries<'t>(&'t self, table: &'t HandleTable) -> HandleEntries<'t> {
        table.entries(self.state.rcu())
    }

    /// Counts a page that was added to a zspage, and the `new_slots` slots that became free.
    pub(super) fn page_added(&self, new_slots: usize) {
        self.set_slots(self.class.objs_allocated.get().wrapping_add(new_slots));
        self.class.pages.add(1);
        self.class.count_pages(1);
    }

    /// Uncounts pages that left the class, and their `free_slots` free slots.
    #[inline]
    pub(super) fn pages_gone(&self, pages: usize, free_slots: usize) {
        self.set_slots(self.class.objs_allocated.get().wrapping_sub(free_slots));
        self.class.pages.sub(pages);
        self.class.count_pages((pages as isize).wrapping_neg());
    }

    /// Returns the objects that were freed and are kept for `malloc`.
    #[inline]
    pub(super) fn sheaf(&self) -> &Sheaf {
        &self.state.sheaf
    }

    /// Returns the free handles of the class.
    pub(super) fn handles(&self) -> &FreeHandles {
        &self.state.handles
    }

    /// Counts an object that was allocated.
    #[inline]
    pub(super) fn object_allocated(&self) {
        self.class.objs_inuse.add(1);
    }

    /// Uncounts an object that was freed.
    #[inline]
    pub(super) fn object_freed(&self) {
        self.class.objs_inuse.sub(1);
    }

    // Sets the number of slots whose pages are present.
    fn set_slots(&self, slots: usize) {
        self.class.objs_allocated.set(slots);
        self.sheaf().set_slots(slots);
    }

    /// Returns whether the class has no object.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.class.objs_inuse.get() == 0
    }
}
