// SPDX-License-Identifier: GPL-2.0

//! A size class: its zspages, sorted by fullness, and the lock that protects them.
//!
//! The lock of the class protects: the lists; which zspages are isolated; each zspage's chain,
//! bitmap and count; the handles behind objects; the location in an entry (which changes only while that
//! entry is locked too); and the class's free handles.

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

/// Fewest and most handles that a class takes from the pool's table at once.
///
/// Many, so that the table is rarely written; few, so that a small pool stays small.
const HANDLE_BATCH: Range<usize> = 8..64;

/// Pages on which nothing is in use are kept while at most one in so many slots of the class is
/// free, and no more than so many are: the next object will need them.
const KEPT_SHARE: usize = 8;
const KEPT_SLOTS: usize = 64;

/// How many zspages of a group compaction looks at to find the emptiest, or the fullest.
const CHOICE: usize = 16;

// See `ClassState::lists_in_use`.
const MAYBE_SHIFT: u32 = 16;

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

/// What the lock of a class protects.
#[pin_data]
struct ClassState {
    #[pin]
    lists: [List<Zspage>; NR_GROUPS],
    // Bit n is set while a zspage on list n has a free slot. These are in front of all others.
    // Sixteen bits higher, one is set if anything is on the list, or was.
    lists_in_use: Cell<u32>,
    handles: FreeHandles,
}

/// Zspages of one object size.
#[pin_data]
pub struct SizeClass {
    shape: ClassShape,
    grouping: Grouping,
    location_flags: ObjLocation,
    // What `present` of a zspage is if no page is missing.
    all_present: u16,
    layout: Layout,
    shared: Arc<Shared>,
    zspages: [Counter; NR_GROUPS],
    objs_allocated: Counter,
    objs_inuse: Counter,
    pages: Counter,
    // While no fewer objects than that are in use, pages without any are kept. Never zero.
    keep_from: Counter,
    #[pin]
    state: SpinLock<ClassState>,
}

/// The lock of a class, held.
pub struct ClassGuard<'a> {
    class: &'a SizeClass,
    state: SpinGuard<'a, ClassState>,
}

/// What a class lacks for another object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missing {
    /// So many handles.
    Handles(usize),
    /// A page.
    Page,
    /// A zspage, and its first page.
    Zspage,
    /// Nothing is missing, but a zspage has no free slot though it counts one.
    Corrupt,
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
    /// A class without zspages, of the pool that has `shared`.
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

    /// What the class looks like.
    pub fn shape(&self) -> &ClassShape {
        &self.shape
    }

    /// What the locations of its objects have in common.
    #[inline]
    pub(super) fn location_flags(&self) -> ObjLocation {
        self.location_flags
    }

    #[inline]
    pub(super) fn all_present(&self) -> u16 {
        self.all_present
    }

    /// What it shares with the other classes of its pool.
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn count_pages(&self, delta: isize) {
        self.shared.count_pages(self.shape.index, delta);
    }

    /// Where the slots of its zspages are.
    #[inline(always)]
    pub fn layout(&self) -> &Layout {
        &self.layout
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
            .saturating_add(self.layout.offset(rest).div_ceil(PAGE_SIZE))
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
    /// Isolated zspages stay isolated; nothing borrowed from the guard survives.
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
    pub fn putback_zspage(&self, isolated: IsolatedZspage<'_>) {
        // A zspage of another class is not put back; dropping it reports that.
        if !isolated.is_of(self.class) {
            return;
        }
        let to = self.get_fullness_group(&isolated);
        let Some(group) = to.group() else { return };
        // SAFETY: It goes on a list.
        if let Some(zspage) = unsafe { isolated.into_box() } {
            zspage.set_listed(to);
            // Those with a free slot in front, so that one is found without a search.
            self.list(group).push(zspage, to.has_free());
            self.insert_zspage(group, to);
        }
    }

    /// Takes a zspage of this class off its list; `None` if it is isolated already.
    pub fn isolate_zspage(&self, zspage: &Zspage) -> Option<IsolatedZspage<'a>> {
        if !zspage.is_of(self.class) {
            return None;
        }
        let group = zspage.listed().group()?;
        // SAFETY: A zspage of this class that has a group is on that list, by its invariants. An
        // isolated zspage is freed only by the promise that nobody uses what a guard lent.
        let zspage = unsafe { self.list(group).remove(zspage) };
        zspage.set_listed(Listed::NOWHERE);
        self.remove_zspage(group);
        Some(IsolatedZspage::from_box(self.class, zspage))
    }

    // The list a zspage should be on.
    #[inline(always)]
    fn get_fullness_group(&self, zspage: &Zspage) -> Listed {
        let counts = zspage.counts();
        Listed::on(
            self.class.grouping.group(counts.inuse()),
            counts.free() != 0,
        )
    }

    // Counts a zspage that was put on a list.
    #[inline]
    fn insert_zspage(&self, group: Group, to: Listed) {
        self.count(group).add(1);
        let bits = (1 << MAYBE_SHIFT) | u32::from(to.has_free());
        let in_use = &self.state.lists_in_use;
        in_use.set(in_use.get() | bits.wrapping_shl(group.number() as u32));
    }

    // Counts a zspage that was taken off a list.
    #[inline(always)]
    fn remove_zspage(&self, group: Group) {
        self.count(group).sub(1);
        let front = self.list(group).front();
        if !front.is_some_and(|zspage| zspage.listed().has_free()) {
            let in_use = &self.state.lists_in_use;
            in_use.set(in_use.get() & !group.bit());
        }
    }

    /// Takes the first zspage of a group.
    pub fn isolate_first(&self, group: Group) -> Option<IsolatedZspage<'a>> {
        self.isolate_zspage(self.list(group).front()?)
    }

    /// Puts a zspage on the right list after it changed, unless it is isolated.
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
        // SAFETY: As in `take`.
        unsafe {
            self.list(from)
                .move_to(zspage, self.list(group), to.has_free())
        };
        zspage.set_listed(to);
        self.remove_zspage(from);
        self.insert_zspage(group, to);
    }

    /// The fullest zspage that has a free slot, from 99 % down to 0.
    #[inline(always)]
    pub fn fullest_free(&self) -> Option<&Zspage> {
        let with_free = self.state.lists_in_use.get() as u16;
        self.list(Group::new(with_free.checked_ilog2()? as usize)?)
            .front()
    }

    /// A zspage of the fullest group that has one which is not full.
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

    // A group is a range of counts: the zspages in it to choose from. If it is one count, any will
    // do.
    fn choice(&self, group: Group) -> impl Iterator<Item = &Zspage> {
        let several = usize::from(self.class.shape.objs) > NR_GROUPS - 2;
        self.list(group)
            .iter()
            .take(if several { CHOICE } else { 1 })
    }

    // The groups between empty and full, from the emptiest, that have zspages, or had.
    fn partial_groups(&self) -> impl Iterator<Item = Group> {
        let ends = Group::FULL.bit() | Group::EMPTY.bit();
        let mut maybe = (self.state.lists_in_use.get() >> MAYBE_SHIFT) & !ends;
        core::iter::from_fn(move || {
            let first = maybe.trailing_zeros() as usize;
            maybe &= maybe.wrapping_sub(1);
            Group::new(first)
        })
    }

    /// Takes the fullest zspage that objects can be moved into.
    pub fn isolate_dst_zspage(&self) -> Option<IsolatedZspage<'a>> {
        let group = self.fullest_partial_group()?;
        if group == Group::EMPTY {
            return None;
        }
        self.isolate_zspage(self.choice(group).max_by_key(|zspage| zspage.inuse())?)
    }

    /// The same, if no page can be had to add to it.
    pub fn isolate_free_dst_zspage(&self) -> Option<IsolatedZspage<'a>> {
        self.isolate_zspage(self.fullest_free()?)
    }

    /// Takes the emptiest zspage that has an object to move.
    pub fn isolate_src_zspage(&self) -> Option<IsolatedZspage<'a>> {
        self.partial_groups().find_map(|group| {
            self.isolate_zspage(self.choice(group).min_by_key(|zspage| zspage.inuse())?)
        })
    }

    /// Whether the class has no free handle left.
    pub fn needs_handles(&self) -> bool {
        self.state.handles.is_empty()
    }

    /// How many handles the class should take from the pool's table.
    #[inline]
    fn handle_batch(&self) -> usize {
        (self.class.objs_inuse.get() / 16).clamp(HANDLE_BATCH.start, HANDLE_BATCH.end)
    }

    /// Whether the class has more free handles than it should keep: two batches.
    #[inline]
    pub(super) fn has_spare_handles(&self) -> bool {
        self.state.handles.len() > 2 * self.handle_batch()
    }

    // Takes handles from the table, if that is possible at once.
    #[inline(never)]
    fn refill_handles(&self, table: &HandleTable) -> Result<(), Missing> {
        let count = self.handle_batch();
        let handles = table.try_reserve(count).ok_or(Missing::Handles(count))?;
        self.add_handles(table, handles);
        Ok(())
    }

    /// Gives free handles to the class.
    pub fn add_handles(&self, table: &HandleTable, handles: FreeHandles) {
        self.state.handles.append(self.entries(table), handles);
    }

    /// Takes the free handles that the class should not keep: all but a batch if it has spare ones,
    /// and all if it has no object.
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

    /// The entries of the pool's table, while the class lock is held.
    #[inline]
    pub(super) fn entries<'t>(&'t self, table: &'t HandleTable) -> HandleEntries<'t> {
        table.entries(self.state.rcu())
    }

    /// Where a page should be added, if no slot is free: the fullest zspage that misses one, and the
    /// position.
    #[inline(always)]
    fn growable(&self) -> Option<(&Zspage, u32)> {
        let zspage = self.fullest_partial()?;
        Some((zspage, zspage.next_position()?))
    }

    /// Adds a page to a zspage of this class, if it has none at this position. The caller takes an
    /// object of it, or regroups it.
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

    /// Takes the pages of a freed object, if nothing on them is in use and nobody has them locked,
    /// out of its zspage, which the caller regroups.
    pub(super) fn detach_unused(&self, freed: &Object<'_>) -> [Option<OwnedPage>; 2] {
        let (first, second) = freed.pages();
        let detach = |page: ZsPage| {
            // SAFETY: The pages of an object belong to its zspage; the guard that made it an
            // object is still held.
            let (page, free_slots) = unsafe { freed.zspage().detach_unused(self, page)? };
            self.page_gone(free_slots);
            Some(page)
        };
        [detach(first), second.and_then(detach)]
    }

    /// The last object in use of these slots of a zspage of this class that is below `end`. Pages
    /// behind it that only these slots touch and nobody has locked are taken out, and each is given to
    /// `release`. The caller regroups the zspage.
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

    /// Counts a page that left the class with `free_slots` free slots.
    pub(super) fn page_gone(&self, free_slots: usize) {
        self.set_slots(self.class.objs_allocated.get().wrapping_sub(free_slots));
        self.class.pages.sub(1);
        self.class.count_pages(-1);
    }

    /// Allocates an object in the fullest zspage that has a free slot, and the handle for it.
    ///
    /// Returns what is missing, if something is; then no object and no handle was taken.
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

    /// The same. If no slot is free, adds `page` to the fullest zspage that misses one.
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
        // There is none at this position.
        let _ = self.add_page(zspage, page.take().ok_or(missing)?, position);
        self.malloc_in(zspage, table)
    }

    /// Allocates an object in a free slot of a zspage of this class, which may be isolated, and one
    /// of the class's handles for it. Returns [`Missing::Corrupt`] if one of the two is not what it
    /// should be.
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
            // Not while there is a free slot. The handle waits for another object.
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

    /// The class's free handles, for `free`.
    pub(super) fn handles(&self) -> &FreeHandles {
        &self.state.handles
    }

    /// Counts an object that was freed.
    #[inline(always)]
    pub(super) fn object_freed(&self) {
        self.class.objs_inuse.sub(1);
    }

    /// Whether pages on which nothing is in use are kept.
    #[inline(always)]
    pub(super) fn keeps_pages(&self) -> bool {
        self.class.objs_inuse.get() >= self.class.keep_from.get()
    }

    // The slots that there are pages for.
    fn set_slots(&self, slots: usize) {
        let kept = (slots / KEPT_SHARE).min(KEPT_SLOTS);
        self.class.objs_allocated.set(slots);
        self.class.keep_from.set(slots.wrapping_sub(kept).max(1));
    }

    /// Whether the class has no object.
    pub(super) fn is_empty(&self) -> bool {
        self.class.objs_inuse.get() == 0
    }
}
