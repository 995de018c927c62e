// SPDX-License-Identifier: GPL-2.0

//! A size class: its zspages on fullness lists, and the lock that protects them.
//!
//! The class lock protects the fullness lists, the isolation of zspages, the chain, bitmap and
//! counts of each zspage, the handles stored after objects, and the free handles of the class. It
//! also protects the location in an entry: changing that takes the class lock and the entry lock.

use core::cell::Cell;
use core::ops::Range;

use super::fullness::{Group, Grouping, Listed, NR_GROUPS};
use super::geometry::ClassShape;
use super::handle_entry::ObjLocation;
use super::handle_table::{FreeHandles, Handle, HandleEntries, HandleTable};
use super::isolated::IsolatedZspage;
use super::layout::Layout;
use super::object::Object;
use super::owned_page::OwnedPage;
use super::shared::Shared;
use super::zspage::Zspage;
use crate::sys::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sys::list::List;
use crate::sys::page::{ZsPage, PAGE_SIZE};
use crate::sys::prelude::*;
use crate::sys::spinlock::{LockClass, SpinGuard, SpinLock};

/// Smallest and largest batch of handles that a class takes from the pool's table.
///
/// Large batches make writes to the table rare. Small batches keep a small pool small.
const HANDLE_BATCH: Range<usize> = 8..64;

/// A class keeps unused pages while no more than one in `KEPT_SHARE` of its slots is free, and no
/// more than `KEPT_SLOTS` slots are. The next allocations will need these pages.
const KEPT_SHARE: usize = 8;
const KEPT_SLOTS: usize = 64;

/// How many zspages of a group compaction compares to find the emptiest or the fullest.
const CHOICE: usize = 16;

// See `ClassState::lists_in_use`.
const MAYBE_SHIFT: u32 = 16;

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
    lists: [List<Zspage>; NR_GROUPS],
    // Bit n is set while list n has a zspage with a free slot. Such zspages are at the front of the
    // list. Bit n + 16 is set while list n has a zspage; it may stay set after the last one left.
    lists_in_use: Cell<u32>,
    handles: FreeHandles,
}

/// The zspages of one object size.
#[pin_data]
pub struct SizeClass {
    shape: ClassShape,
    grouping: Grouping,
    location_flags: ObjLocation,
    // The value of `Zspage::present` with no page missing.
    all_present: u16,
    layout: Layout,
    shared: Arc<Shared>,
    zspages: [Counter; NR_GROUPS],
    objs_allocated: Counter,
    objs_inuse: Counter,
    pages: Counter,
    // The class keeps unused pages while at least this many objects are in use. Never zero.
    keep_from: Counter,
    #[pin]
    state: SpinLock<ClassState>,
}

/// A held class lock.
pub struct ClassGuard<'a> {
    class: &'a SizeClass,
    state: SpinGuard<'a, ClassState>,
}

/// What a class needs before it can allocate another object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missing {
    /// This many handles.
    Handles(usize),
    /// A page, for a zspage that the class has.
    Page,
    /// A zspage and its first page.
    Zspage,
    /// Nothing. The counts of a zspage or the chain of free handles are corrupt.
    Corrupt,
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
            all_present: u16::MAX >> (16u32.saturating_sub(shape.pages.into()) & 15),
            layout,
            shared,
            zspages: [const { Counter::new() }; NR_GROUPS],
            objs_allocated: Counter::new(),
            objs_inuse: Counter::new(),
            pages: Counter::new(),
            keep_from: Counter::new(),
            state <- SpinLock::new(LockClass::SizeClass, pin_init!(ClassState {
                lists <- pin_init_array_from_fn(|_| List::new()),
                lists_in_use: Cell::new(0),
                handles: FreeHandles::new(),
            })),
        })
    }

    /// Returns the geometry of the class.
    pub fn shape(&self) -> &ClassShape {
        &self.shape
    }

    /// Returns the location bits that all objects of the class have in common.
    #[inline]
    pub(super) fn location_flags(&self) -> ObjLocation {
        self.location_flags
    }

    #[inline]
    pub(super) fn all_present(&self) -> u16 {
        self.all_present
    }

    /// Returns the data that all classes of the pool share.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn count_pages(&self, delta: isize) {
        self.shared.count_pages(self.shape.index, delta);
    }

    /// Returns the layout of slots in a zspage.
    #[inline(always)]
    pub fn layout(&self) -> &Layout {
        &self.layout
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
    /// Returns the class.
    pub fn class(&self) -> &'a SizeClass {
        self.class
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

    #[inline]
    fn list(&self, group: Group) -> &List<Zspage> {
        group.of(&self.state.lists)
    }

    #[inline]
    fn count(&self, group: Group) -> &Counter {
        group.of(&self.class.zspages)
    }

    /// Puts an isolated zspage back on the list of its fullness group.
    pub fn putback_zspage(&self, isolated: IsolatedZspage<'_>) {
        // A zspage of another class stays isolated. Its `Drop` warns.
        if !isolated.is_of(self.class) {
            return;
        }
        let to = self.get_fullness_group(&isolated);
        let Some(group) = to.group() else { return };
        // SAFETY: The box goes on a list below.
        if let Some(zspage) = unsafe { isolated.into_box() } {
            zspage.set_listed(to);
            // `fullest_free` looks only at the front of a list.
            self.list(group).push(zspage, to.has_free());
            self.insert_zspage(group, to);
        }
    }

    /// Isolates a zspage of this class. Returns `None` if it is isolated already.
    pub fn isolate_zspage(&self, zspage: &Zspage) -> Option<IsolatedZspage<'a>> {
        if !zspage.is_of(self.class) {
            return None;
        }
        let group = zspage.listed().group()?;
        // SAFETY: By the type invariants of `Zspage`, a zspage that has a group is on the list of
        // that group in its class. Freeing an isolated zspage (`IsolatedZspage::release`) requires
        // that no reference from a guard is in use.
        let zspage = unsafe { self.list(group).remove(zspage) };
        zspage.set_listed(Listed::NOWHERE);
        self.remove_zspage(group);
        Some(IsolatedZspage::from_box(self.class, zspage))
    }

    // Returns the list that the zspage belongs on.
    #[inline(always)]
    fn get_fullness_group(&self, zspage: &Zspage) -> Listed {
        let counts = zspage.counts();
        Listed::on(
            self.class.grouping.group(counts.inuse()),
            counts.free() != 0,
        )
    }

    // Updates the counts after a zspage went on a list.
    #[inline]
    fn insert_zspage(&self, group: Group, to: Listed) {
        self.count(group).add(1);
        let bits = (1 << MAYBE_SHIFT) | u32::from(to.has_free());
        let in_use = &self.state.lists_in_use;
        in_use.set(in_use.get() | bits.wrapping_shl(group.number() as u32));
    }

    // Updates the counts after a zspage left a list.
    #[inline(always)]
    fn remove_zspage(&self, group: Group) {
        self.count(group).sub(1);
        let front = self.list(group).front();
        if !front.is_some_and(|zspage| zspage.listed().has_free()) {
            let in_use = &self.state.lists_in_use;
            in_use.set(in_use.get() & !group.bit());
        }
    }

    /// Isolates the first zspage of a group.
    pub fn isolate_first(&self, group: Group) -> Option<IsolatedZspage<'a>> {
        self.isolate_zspage(self.list(group).front()?)
    }

    /// Moves a changed zspage to the list it belongs on. Does nothing if it is isolated.
    #[inline(always)]
    pub fn fix_fullness_group(&self, zspage: &Zspage) {
        let (from, to) = (zspage.listed(), self.get_fullness_group(zspage));
        if from != to {
            self.move_zspage(zspage, from, to);
        }
    }

    #[inline(always)]
    fn move_zspage(&self, zspage: &Zspage, from: Listed, to: Listed) {
        // An isolated zspage is on no list.
        let (Some(from), Some(group)) = (from.group(), to.group()) else {
            return;
        };
        if !zspage.is_of(self.class) {
            return;
        }
        // SAFETY: By the type invariants of `Zspage`, a zspage of group `from` is on that list.
        unsafe {
            self.list(from)
                .move_to(zspage, self.list(group), to.has_free())
        };
        zspage.set_listed(to);
        self.remove_zspage(from);
        self.insert_zspage(group, to);
    }

    /// Returns the fullest zspage that has a free slot, from `ZS_INUSE_RATIO_99` down to 0.
    #[inline(always)]
    pub fn fullest_free(&self) -> Option<&Zspage> {
        let with_free = self.state.lists_in_use.get() as u16;
        self.list(Group::new(with_free.checked_ilog2()? as usize)?)
            .front()
    }

    /// Returns a zspage of the fullest group below `ZS_INUSE_RATIO_100`.
    fn fullest_partial(&self) -> Option<&Zspage> {
        self.list(self.fullest_partial_group()?).front()
    }

    fn fullest_partial_group(&self) -> Option<Group> {
        let in_use = &self.state.lists_in_use;
        loop {
            let maybe = (in_use.get() >> MAYBE_SHIFT) & !Group::FULL.bit();
            let group = Group::new(maybe.checked_ilog2()? as usize)?;
            if !self.list(group).is_empty() {
                return Some(group);
            }
            in_use.set(in_use.get() & !(group.bit() << MAYBE_SHIFT));
        }
    }

    // Returns the zspages of a group that compaction chooses from. If a group stands for a single
    // count, they are all alike, and one is enough.
    fn choice(&self, group: Group) -> impl Iterator<Item = &Zspage> {
        let several = usize::from(self.class.shape.objs) > NR_GROUPS - 2;
        self.list(group)
            .iter()
            .take(if several { CHOICE } else { 1 })
    }

    // Returns the groups between empty and full that may have zspages, the emptiest first.
    fn partial_groups(&self) -> impl Iterator<Item = Group> {
        let ends = Group::FULL.bit() | Group::EMPTY.bit();
        let mut maybe = (self.state.lists_in_use.get() >> MAYBE_SHIFT) & !ends;
        core::iter::from_fn(move || {
            let first = maybe.trailing_zeros() as usize;
            maybe &= maybe.wrapping_sub(1);
            Group::new(first)
        })
    }

    /// Isolates the fullest zspage that can take more objects. It may lack pages for them.
    pub fn isolate_dst_zspage(&self) -> Option<IsolatedZspage<'a>> {
        let group = self.fullest_partial_group()?;
        if group == Group::EMPTY {
            return None;
        }
        self.isolate_zspage(self.choice(group).max_by_key(|zspage| zspage.inuse())?)
    }

    /// Isolates the fullest zspage that can take an object without another page.
    pub fn isolate_free_dst_zspage(&self) -> Option<IsolatedZspage<'a>> {
        self.isolate_zspage(self.fullest_free()?)
    }

    /// Isolates the emptiest zspage that has objects.
    pub fn isolate_src_zspage(&self) -> Option<IsolatedZspage<'a>> {
        self.partial_groups().find_map(|group| {
            self.isolate_zspage(self.choice(group).min_by_key(|zspage| zspage.inuse())?)
        })
    }

    /// Returns whether the class has no free handle.
    pub fn needs_handles(&self) -> bool {
        self.state.handles.is_empty()
    }

    /// Returns how many handles the class takes from the pool's table at once.
    #[inline]
    fn handle_batch(&self) -> usize {
        (self.class.objs_inuse.get() / 16).clamp(HANDLE_BATCH.start, HANDLE_BATCH.end)
    }

    /// Returns whether the class has more than two batches of free handles.
    #[inline]
    pub(super) fn has_spare_handles(&self) -> bool {
        self.state.handles.len() > 2 * self.handle_batch()
    }

    // Takes handles from the table. Fails if the table is locked or has to grow.
    #[inline(never)]
    fn refill_handles(&self, table: &HandleTable) -> Result<(), Missing> {
        let count = self.handle_batch();
        let handles = table.try_reserve(count).ok_or(Missing::Handles(count))?;
        self.add_handles(table, handles);
        Ok(())
    }

    /// Adds free handles to the class.
    pub fn add_handles(&self, table: &HandleTable, handles: FreeHandles) {
        self.state.handles.append(self.entries(table), handles);
    }

    /// Takes the free handles that the class does not need: all if it has no object, otherwise all
    /// above one batch, once it has more than two.
    pub fn take_spare_handles(&self, table: &HandleTable) -> FreeHandles {
        if self.is_empty() {
            return self.take_handles();
        }
        if !self.has_spare_handles() {
            return FreeHandles::new();
        }
        let count = self.state.handles.len().saturating_sub(self.handle_batch());
        self.state.handles.split(self.entries(table), count)
    }

    /// Takes all free handles.
    pub(super) fn take_handles(&self) -> FreeHandles {
        self.state.handles.take()
    }

    /// Returns the entries of the pool's table. Holding the class lock is the read-side section.
    #[inline]
    pub(super) fn entries<'t>(&'t self, table: &'t HandleTable) -> HandleEntries<'t> {
        table.entries(self.state.rcu())
    }

    /// Returns the zspage and the position that the next page goes to. Called when no slot is free:
    /// then a zspage that is not full lacks a page.
    #[inline(always)]
    fn growable(&self) -> Option<(&Zspage, u32)> {
        let zspage = self.fullest_partial()?;
        Some((zspage, zspage.next_position()?))
    }

    /// Adds a page to a zspage of this class. Returns the page if `position` has one already.
    ///
    /// The caller must then call [`ClassGuard::fix_fullness_group`] or put the zspage back.
    pub fn add_page(
        &self,
        zspage: &Zspage,
        page: OwnedPage,
        position: u32,
    ) -> Result<(), OwnedPage> {
        let new_slots = zspage.add_page(self, page, position)?;
        self.set_slots(self.class.objs_allocated.get().wrapping_add(new_slots));
        self.class.pages.add(1);
        self.class.count_pages(1);
        Ok(())
    }

    /// Detaches the pages of a freed object that hold no other object. Skips pages that are locked.
    ///
    /// The caller must then call [`ClassGuard::fix_fullness_group`] on the zspage.
    pub(super) fn detach_unused(&self, freed: &Object<'_>) -> [Option<OwnedPage>; 2] {
        let (first, second) = freed.pages();
        let detach = |page: ZsPage| {
            // SAFETY: The pages of an object belong to its zspage while the class lock is held.
            // `self` has held it since `freed` was looked up.
            let (page, free_slots) = unsafe { freed.zspage().detach_unused(self, page)? };
            self.page_gone(free_slots);
            Some(page)
        };
        [detach(first), second.and_then(detach)]
    }

    /// Returns the last object in use in `slots` and below `end`. Detaches the unused pages after
    /// it that hold no part of a slot outside `slots`, and passes each to `release`. Skips pages
    /// that are locked.
    ///
    /// The caller must then call [`ClassGuard::fix_fullness_group`] or put the zspage back.
    pub(super) fn detach_tail<'o>(
        &'o self,
        zspage: &'o Zspage,
        slots: &Range<usize>,
        end: usize,
        mut release: impl FnMut(OwnedPage),
    ) -> Option<Object<'o>> {
        zspage.detach_tail(self, slots, end, |page, free_slots| {
            self.page_gone(free_slots);
            release(page);
        })
    }

    /// Uncounts a page that left the class, and its `free_slots` free slots.
    pub(super) fn page_gone(&self, free_slots: usize) {
        self.set_slots(self.class.objs_allocated.get().wrapping_sub(free_slots));
        self.class.pages.sub(1);
        self.class.count_pages(-1);
    }

    /// Allocates an object in the fullest zspage that has a free slot, and a handle for it.
    ///
    /// On error nothing is allocated.
    #[inline(always)]
    pub(super) fn malloc(&self, table: &HandleTable) -> Result<Handle, Missing> {
        if self.needs_handles() {
            self.refill_handles(table)?;
        }
        match self.fullest_free() {
            Some(zspage) => self.malloc_in(zspage, table),
            None if self.growable().is_some() => Err(Missing::Page),
            None => Err(Missing::Zspage),
        }
    }

    /// Like [`ClassGuard::malloc`]. If no slot is free, adds `page` to a zspage that lacks one.
    pub(super) fn malloc_growing(
        &self,
        table: &HandleTable,
        page: &mut Option<OwnedPage>,
    ) -> Result<Handle, Missing> {
        let missing = match self.malloc(table) {
            Err(missing @ Missing::Page) => missing,
            done => return done,
        };
        let (zspage, position) = self.growable().ok_or(missing)?;
        // `growable` returned a position without a page.
        let _ = self.add_page(zspage, page.take().ok_or(missing)?, position);
        self.malloc_in(zspage, table)
    }

    /// Allocates an object in a free slot of a zspage of this class, and takes one of the class's
    /// free handles for it. The zspage may be isolated. Returns [`Missing::Corrupt`] if either
    /// fails: the caller has checked that both are there.
    #[inline(always)]
    pub(super) fn malloc_in(
        &self,
        zspage: &Zspage,
        table: &HandleTable,
    ) -> Result<Handle, Missing> {
        let Some((handle, entry)) = self.state.handles.pop(self.entries(table)) else {
            self.fix_fullness_group(zspage);
            return Err(Missing::Corrupt);
        };
        let Some(object) = zspage.take_object(self) else {
            // The counts say that there is a free slot, but the bitmap has none.
            self.state.handles.push(handle, entry);
            self.fix_fullness_group(zspage);
            return Err(Missing::Corrupt);
        };
        object.set_handle(handle.in_object());
        entry.record_obj(object.location(), handle.generation());
        self.class.objs_inuse.add(1);
        self.fix_fullness_group(zspage);
        Ok(handle)
    }

    /// Returns the free handles of the class.
    pub(super) fn handles(&self) -> &FreeHandles {
        &self.state.handles
    }

    /// Uncounts an object that was freed.
    #[inline(always)]
    pub(super) fn object_freed(&self) {
        self.class.objs_inuse.sub(1);
    }

    /// Returns whether the class keeps unused pages for now.
    #[inline(always)]
    pub(super) fn keeps_pages(&self) -> bool {
        self.class.objs_inuse.get() >= self.class.keep_from.get()
    }

    // Sets the number of slots whose pages are present.
    fn set_slots(&self, slots: usize) {
        let kept = (slots / KEPT_SHARE).min(KEPT_SLOTS);
        self.class.objs_allocated.set(slots);
        self.class.keep_from.set(slots.wrapping_sub(kept).max(1));
    }

    /// Returns whether the class has no object.
    pub(super) fn is_empty(&self) -> bool {
        self.class.objs_inuse.get() == 0
    }
}
