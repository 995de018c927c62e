// SPDX-License-Identifier: GPL-2.0

//! Pools: the API of the allocator.
//!
//! [`Pool::malloc`] allocates an object, [`Pool::obj_read_begin`], [`Pool::obj_write`] and
//! [`Pool::map_object`] are for its contents, and [`Pool::free`] frees it.
//! [`Pool::compact`] moves objects to free pages. [`Pool::free_deferred`] frees empty zspages.
//!
//! Lock order: page lock, entry lock, class lock, lock of the [`HandleTable`]. `free` takes the
//! class lock with the entry locked. A holder of a class lock only trylocks an entry or the table.
//!
//! `malloc`, `free` and readers write data that classes share only when pages or handles come or go.

use super::background::{Background, BACKGROUND};
use super::class::{ClassGuard, ClassStats, SizeClass};
use super::events::{BadHandle, Events};
use super::fullness::{Group, NR_GROUPS};
use super::geometry::{ClassShape, MAX_CLASSES};
use super::handle_entry::{HandleEntry, ObjLocation, Refused};
use super::handle_table::{FreeHandles, Handle, HandleTable};
use super::isolated::NewZspage;
use super::locked_entry::LockedEntry;
use super::malloc::Missing;
use super::shared::Shared;
use super::zspage::Zspage;
use crate::sys::atomic::{spin_loop, AtomicBool, Ordering::Relaxed};
use crate::sys::once_box::OnceBox;
use crate::sys::page::{OwnedPage, PAGE_SIZE};
use crate::sys::prelude::*;
use crate::sys::report;
use crate::sys::sched::NoPreemption;
use crate::sys::work::Work;

// How often `free` retries a locked entry before it considers the object mapped or read.
const LOCK_SPINS: usize = 256;

// What the slow path of `malloc` allocated and the class does not have yet.
#[derive(Default)]
struct Growth<'c> {
    handles: Option<FreeHandles>,
    page: Option<OwnedPage>,
    zspage: Option<NewZspage<'c>>,
}

/// A pool of size classes.
#[pin_data(PinnedDrop)]
pub struct Pool {
    name: CString,
    // A class is created with its first object.
    #[pin]
    classes: [OnceBox<SizeClass>; MAX_CLASSES],
    shared: Arc<Shared>,
    compacting: AtomicBool,
    #[pin]
    deferred_free: Work<Pool>,
    background: Background,
    #[pin]
    background_work: Work<Pool, BACKGROUND>,
}

impl Pool {
    /// Creates a pool with at most `chain_limit` pages per zspage.
    ///
    /// Returns [`ENOMEM`] if memory ran out. Context: may sleep.
    pub fn new(name: &CStr, chain_limit: usize) -> impl PinInit<Self, Error> + '_ {
        // Initialised in place: the tables are too large for the stack.
        try_pin_init!(&this in Self {
            name: CString::try_from(name)?,
            classes <- zeroed(),
            shared: pin_arc(Shared::new(chain_limit))?,
            compacting: AtomicBool::new(false),
            // SAFETY: The pool is pinned, and the last thing that its `drop` does is cancel the work.
            deferred_free <- unsafe { Work::new(this) },
            background: Background::default(),
            // SAFETY: The pool is pinned, and its `drop` cancels the work.
            background_work <- unsafe { Work::new(this) },
        }? Error)
    }

    /// Returns the name of the pool.
    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// Returns the event counters.
    pub fn events(&self) -> &Events {
        self.shared.events()
    }

    pub(super) fn table(&self) -> &HandleTable {
        self.shared.table()
    }

    /// Returns class `index`, or `None` if it never had an object, or its size is merged into another.
    #[inline]
    pub fn class(&self, index: usize) -> Option<&SizeClass> {
        self.classes.get(index)?.get()
    }

    // Creates class `index`, unless somebody else has done so meanwhile. All classes take five times as
    // much memory as the rest of a pool without objects.
    #[cold]
    fn create_class(&self, index: usize, gfp: Gfp) -> Result<&SizeClass> {
        let slot = self.classes.get(index).ok_or(EINVAL)?;
        let shape = self.shared.geometry().shape(index).ok_or(EINVAL)?;
        let class = pin_box_gfp(SizeClass::new(shape, self.shared.clone()), gfp)?;
        Ok(slot.get_or_set(class))
    }

    /// Returns all classes that exist, the largest size first.
    pub fn classes(&self) -> impl Iterator<Item = &SizeClass> {
        self.classes.iter().rev().filter_map(OnceBox::get)
    }

    /// Returns all classes that exist, the one with `index` or the next smaller one first.
    pub(super) fn classes_from(&self, index: usize) -> impl Iterator<Item = &SizeClass> {
        let after = index.saturating_add(1).min(MAX_CLASSES);
        let smaller = self.classes.get(..after).unwrap_or_default();
        let larger = self.classes.get(after..).unwrap_or_default();
        let order = smaller.iter().rev().chain(larger.iter().rev());
        order.filter_map(OnceBox::get)
    }

    /// Returns where an object is, if the handle names one. It may move at any time.
    pub fn location(&self, handle: Handle) -> Option<ObjLocation> {
        let no_preemption = NoPreemption::new();
        let entries = self.table().entries(no_preemption.rcu());
        entries.entry(handle)?.location()
    }

    /// Returns the number of pages in zspages. Metadata is not counted. Any context.
    pub fn total_pages(&self) -> usize {
        self.shared.total_pages()
    }

    /// Returns the size of the handle table in 4-KiB pages. Any context.
    pub fn handle_pages(&self) -> usize {
        self.table().pages()
    }

    /// Returns the number of objects. Any context. An estimate.
    pub fn objects(&self) -> usize {
        self.classes()
            .map(SizeClass::objs_inuse)
            .fold(0, usize::saturating_add)
    }

    /// Returns the size of the metadata in bytes: the handle table, zspages and classes. Takes each
    /// class lock for a moment.
    pub fn metadata_bytes(&self) -> usize {
        let zspages = |class: &SizeClass| {
            let counts = class.lock().lists().counts();
            let zspages = counts.into_iter().fold(0, usize::saturating_add);
            zspages.saturating_mul(size_of::<Zspage>())
        };
        self.classes()
            .map(|class| zspages(class).saturating_add(size_of::<SizeClass>()))
            .fold(
                self.handle_pages().saturating_mul(4096),
                usize::saturating_add,
            )
            .saturating_add(size_of::<Self>())
    }

    /// Returns the smallest request in bytes that gets a page of its own.
    pub fn huge_class_size(&self) -> usize {
        self.shared.geometry().huge_size()
    }

    /// Returns the class index for a request of `size` bytes.
    ///
    /// The handle after the object is added to `size`.
    pub fn lookup_class_index(&self, size: usize) -> usize {
        self.shared.geometry().class_index(size)
    }

    /// Allocates an object of `size` bytes.
    ///
    /// Returns [`EINVAL`] if `size` is zero, [`ENOSPC`] if it is larger than a page, and [`ENOMEM`]
    /// if memory ran out. Returns [`EIO`], with a kernel warning, if a zspage is corrupt.
    ///
    /// Context: depends on `gfp`. Not in an interrupt, and not with a class lock held.
    #[inline]
    pub fn malloc(&self, size: usize, gfp: Gfp) -> Result<Handle> {
        if size.wrapping_sub(1) >= PAGE_SIZE {
            return Err(if size == 0 { EINVAL } else { ENOSPC });
        }
        let index = self.lookup_class_index(size);
        let class = match self.class(index) {
            Some(class) => class,
            None => self.create_class(index, gfp)?,
        };
        let guard = class.lock();
        match guard.malloc(self.table()) {
            Ok(handle) => Ok(handle),
            Err(missing) => {
                drop(guard);
                self.malloc_growing(class, missing, gfp)
            }
        }
    }

    // The slow path. Allocates what is missing without the class lock, and then retries, as the
    // class may have changed meanwhile.
    #[inline(never)]
    fn malloc_growing(&self, class: &SizeClass, mut missing: Missing, gfp: Gfp) -> Result<Handle> {
        let mut growth = Growth::default();
        let result = loop {
            if let Err(error) = self.add_missing(class, &mut growth, missing, gfp) {
                break Err(error);
            }
            match self.grow(&class.lock(), &mut growth) {
                Ok(handle) => break Ok(handle),
                Err(more) => missing = more,
            }
        };
        if let Some(handles) = growth.handles {
            self.give_back_handles(handles);
        }
        result
    }

    // Allocates what is missing, unless `growth` has it already.
    #[inline]
    fn add_missing<'c>(
        &self,
        class: &'c SizeClass,
        growth: &mut Growth<'c>,
        missing: Missing,
        gfp: Gfp,
    ) -> Result {
        match missing {
            Missing::Handles(count) => growth.handles = Some(self.reserve_handles(count, gfp)?),
            Missing::Zspage if growth.zspage.is_none() => {
                growth.zspage = Some(NewZspage::alloc(class, gfp)?);
            }
            Missing::Zspage | Missing::Page => {}
            Missing::Corrupt => {
                report::corrupt_zspage();
                return Err(EIO);
            }
        }
        if !matches!(missing, Missing::Handles(_)) && growth.page.is_none() {
            growth.page = Some(OwnedPage::alloc(gfp)?);
        }
        Ok(())
    }

    // Takes entries from the table. If it cannot grow, takes back those that classes do not use.
    fn reserve_handles(&self, count: usize, gfp: Gfp) -> Result<FreeHandles> {
        self.table().reserve(count, gfp).or_else(|error| {
            self.reclaim_handles();
            self.table().reserve_unused(count).ok_or(error)
        })
    }

    // Adds what `growth` has to the class, and allocates an object.
    #[inline]
    fn grow(&self, guard: &ClassGuard<'_>, growth: &mut Growth<'_>) -> Result<Handle, Missing> {
        if let Some(handles) = growth.handles.take() {
            guard.add_handles(self.table(), handles);
        }
        let missing = match guard.malloc_growing(self.table(), &mut growth.page) {
            Err(missing) => missing,
            done => return done,
        };
        if !matches!(missing, Missing::Zspage) {
            return Err(missing);
        }
        // A new zspage needs its first page too. With only one of the two, allocate the other.
        let (page, zspage) = match (growth.page.take(), growth.zspage.take()) {
            (Some(page), Some(zspage)) => (page, zspage),
            (page, zspage) => {
                (growth.page, growth.zspage) = (page, zspage);
                return Err(missing);
            }
        };
        let isolated = zspage.isolate();
        growth.page = guard.add_page(&isolated, page, 0).err();
        let handle = guard.malloc_in_new_page(&isolated, self.table());
        guard.putback_zspage(isolated);
        handle
    }

    /// Frees an object. Warns and returns an error if the handle is bad, or somebody reads the
    /// object.
    ///
    /// Context: any but an interrupt. Does not sleep. Takes the entry lock and the class lock.
    #[inline]
    pub fn free(&self, handle: Handle) -> Result<(), BadHandle> {
        self.try_free(handle)
            .inspect_err(|&why| self.report(handle, "zs_free", why))
    }

    #[inline]
    fn try_free(&self, handle: Handle) -> Result<(), BadHandle> {
        // Readers spin while the entry is locked, so its holder must not be preempted.
        let no_preemption = NoPreemption::new();
        let entries = self.table().entries(no_preemption.rcu());
        let entry = entries.entry(handle).ok_or(BadHandle::NotAllocated)?;
        let locked = match LockedEntry::try_lock(entry, handle.generation()) {
            Ok(locked) => locked,
            Err(why) => lock_to_free(handle, entry, why)?,
        };
        let Some(class) = self.class(locked.page().class().into()) else {
            locked.unlock();
            return Err(BadHandle::Mismatch);
        };
        let guard = class.lock();
        match guard.free(entries, handle, locked) {
            Ok(false) => Ok(()),
            Ok(true) => {
                drop(no_preemption);
                self.flush_freed(guard, handle)
            }
            Err(locked) => {
                drop(guard);
                locked.unlock();
                Err(BadHandle::Mismatch)
            }
        }
    }

    /// Leaves empty zspages to the deferred-free work.
    pub(super) fn defer_release(&self) {
        self.events().deferred_frees.fetch_add(1, Relaxed);
        self.schedule_work();
    }

    pub(super) fn schedule_work(&self) {
        self.deferred_free.schedule();
    }

    /// Returns the state of the background compaction.
    #[inline]
    pub(super) fn background(&self) -> &Background {
        &self.background
    }

    pub(super) fn run_background_after(&self, ms: u32) {
        self.background_work.schedule_after(ms);
    }

    /// Returns whether a compaction of the pool is running.
    pub(super) fn compacting(&self) -> &AtomicBool {
        &self.compacting
    }

    /// Returns the number of pages that compaction can free. Any context. An estimate.
    pub fn freeable_pages(&self) -> usize {
        self.classes()
            .map(SizeClass::freeable_pages)
            .fold(0, usize::saturating_add)
    }

    /// Returns the geometry and the counters of class `index`, or `None` if its size is merged into
    /// another. Takes the class lock.
    pub fn class_stats(&self, index: usize) -> Option<(ClassShape, ClassStats)> {
        let shape = self.shared.geometry().shape(index)?;
        let stats = self.class(index).map(SizeClass::stats);
        Some((shape, stats.unwrap_or_default()))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn report(&self, handle: Handle, call: &str, why: BadHandle) {
        report::bad_handle(&self.name, handle.into_raw(), call, why.reason());
    }
}

// Waits until the object has been moved, and for a short time until nobody reads it any more: see
// `LOCK_SPINS`.
#[cold]
#[inline(never)]
fn lock_to_free(
    handle: Handle,
    entry: HandleEntry<'_>,
    mut why: Refused,
) -> Result<LockedEntry<'_>, Refused> {
    let mut tries = 0..LOCK_SPINS;
    loop {
        match why {
            Refused::Moving => {}
            Refused::Busy if tries.next().is_some() => {}
            _ => return Err(why),
        }
        spin_loop();
        match LockedEntry::try_lock(entry, handle.generation()) {
            Err(again) => why = again,
            locked => return locked,
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Pool {
    fn drop(self: Pin<&mut Self>) {
        self.background_work.cancel();
        self.deferred_free.flush();
        for class in self.classes() {
            self.release_sheaf(class, true);
            let zspages = class.stats().zspages;
            for (group, _) in zspages.iter().enumerate().filter(|(_, &count)| count != 0) {
                report::group_not_empty(class.shape().size, group);
            }
            // Objects that are left are lost, but no page may keep pointing to the pool. The kernel
            // may still migrate one: that takes the class lock, and `release_group` waits for it.
            for group in (1..NR_GROUPS).filter_map(Group::new) {
                while class.lock().forget_objects(group) {}
            }
            self.release_group(class, Group::EMPTY, true);
        }
        // Entries that were given back, and pages that were locked, schedule it again.
        self.deferred_free.cancel();
    }
}
