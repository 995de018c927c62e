// SPDX-License-Identifier: GPL-2.0

//! A pool: the allocator's API.
//!
//! [`Pool::malloc`] takes an object of a zspage, [`Pool::map`] lends its bytes, [`Pool::free`]
//! gives it back; [`Pool::compact`] moves objects together and gives pages back, and
//! [`Pool::free_deferred`] gives back what could not be locked at once.
//!
//! Locks, in the order in which they nest: page lock, entry lock, class lock, the lock inside
//! [`HandleTable`]. `free` waits for the class lock with the entry locked. Whoever holds a class lock
//! only tries an entry, and only tries the table's lock.
//!
//! None of `malloc`, `map` and `free` writes to memory that the whole pool shares, except where a
//! page comes or goes, or handles do.

use super::class::{ClassGuard, ClassStats, Missing, SizeClass};
use super::events::{BadHandle, Events};
use super::fullness::{Group, NR_GROUPS};
use super::geometry::{ClassShape, Geometry, MAX_CLASSES};
use super::handle_entry::{HandleEntry, ObjLocation, Refused};
use super::handle_table::{FreeHandles, Handle, HandleTable};
use super::isolated::IsolatedZspage;
use super::object::Object;
use super::owned_page::OwnedPage;
use super::shared::Shared;
use super::zspage::Zspage;
use crate::sys::array::{try_array_from_fn, try_init_with};
use crate::sys::atomic::{
    spin_loop, AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sys::page::{ZsPage, PAGE_SIZE};
use crate::sys::prelude::*;
use crate::sys::report;
use crate::sys::sched::NoPreemption;
use crate::sys::work::Work;

// How long `free` waits for a lock to go before it calls the object mapped.
const LOCK_SPINS: usize = 256;

// What a class is about to get, or did not need after all.
#[derive(Default)]
struct Growth<'c> {
    handles: Option<FreeHandles>,
    page: Option<OwnedPage>,
    zspage: Option<IsolatedZspage<'c>>,
}

/// A pool.
#[pin_data(PinnedDrop)]
pub struct Pool {
    name: CString,
    geometry: Geometry,
    #[pin]
    classes: [Option<PinBox<SizeClass>>; MAX_CLASSES],
    shared: Arc<Shared>,
    compacting: AtomicBool,
    #[pin]
    deferred_free: Work<Pool>,
}

impl Pool {
    /// A pool of this name, with chains of at most `chain_limit` pages.
    ///
    /// Fails with [`ENOMEM`]. Context: may sleep.
    pub fn new(name: &CStr, chain_limit: usize) -> impl PinInit<Self, Error> + '_ {
        // In place: the stack of a caller deep in the kernel is not for tables.
        try_init_with(move || {
            let shared = pin_arc(Shared::new())?;
            Ok(try_pin_init!(&this in Self {
                name: CString::try_from(name)?,
                geometry: Geometry::new(PAGE_SIZE, chain_limit),
                // SAFETY: The geometry was initialised just before.
                classes <- new_classes(unsafe { &(*this.as_ptr()).geometry }, shared.clone()),
                shared,
                compacting: AtomicBool::new(false),
                // SAFETY: The pool is pinned, and flushes its work when it is dropped.
                deferred_free <- unsafe { Work::new(this) },
            }? Error))
        })
    }

    /// The name given at creation.
    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// What happened so far.
    pub fn events(&self) -> &Events {
        self.shared.events()
    }

    pub(super) fn table(&self) -> &HandleTable {
        self.shared.table()
    }

    /// The class of index `index`, if that is not merged into another.
    #[inline(always)]
    pub fn class(&self, index: usize) -> Option<&SizeClass> {
        self.classes.get(index)?.as_deref()
    }

    /// All classes, from the largest size down.
    pub fn classes(&self) -> impl Iterator<Item = &SizeClass> {
        self.classes.iter().rev().filter_map(Option::as_deref)
    }

    /// Pages in use for objects. Metadata is not counted. Any context.
    pub fn total_pages(&self) -> usize {
        self.shared.total_pages()
    }

    /// 4-KiB pages in use for the handle table. Any context.
    pub fn handle_pages(&self) -> usize {
        self.table().pages()
    }

    /// The smallest request, in bytes, that gets a page of its own.
    pub fn huge_class_size(&self) -> usize {
        self.geometry.huge_size()
    }

    /// The index of the class that a request of `size` bytes is allocated from.
    ///
    /// The handle behind the object is counted.
    pub fn lookup_class_index(&self, size: usize) -> usize {
        self.geometry.class_index(size)
    }

    /// Allocates an object of `size` bytes.
    ///
    /// Errors: [`EINVAL`] for no bytes, [`ENOSPC`] for more than a page, [`ENOMEM`], and [`EIO`],
    /// with a kernel warning, for a zspage that is not what it says.
    /// Context: as `gfp` says; never with a class lock held, never from an interrupt.
    #[inline(always)]
    pub fn malloc(&self, size: usize, gfp: Gfp) -> Result<Handle> {
        if size.wrapping_sub(1) >= PAGE_SIZE {
            return Err(if size == 0 { EINVAL } else { ENOSPC });
        }
        let class = self.class(self.lookup_class_index(size)).ok_or(EINVAL)?;
        let guard = class.lock();
        match guard.malloc(self.table()) {
            Ok(handle) => Ok(handle),
            Err(missing) => {
                drop(guard);
                self.malloc_growing(class, missing, gfp)
            }
        }
    }

    // The slow path. Whatever is missing is allocated without the class lock; then the class is
    // looked at afresh, as others may have been there.
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
        if let Some(zspage) = growth.zspage {
            // SAFETY: Nobody else has it: it was isolated when it was allocated, and no guard lent it.
            unsafe { zspage.release() };
        }
        result
    }

    // Allocates what is missing, unless it is there.
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
                growth.zspage = Some(Zspage::alloc(class, gfp)?);
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

    // Takes free entries of the table, or, if that cannot grow, those that other classes keep.
    fn reserve_handles(&self, count: usize, gfp: Gfp) -> Result<FreeHandles> {
        self.table().reserve(count, gfp).or_else(|error| {
            self.reclaim_handles();
            self.table().reserve_unused(count).ok_or(error)
        })
    }

    // Gives the class what it needs of that, and takes a slot of it.
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
        // Both, or none: what is there stays for the next round.
        let (page, isolated) = match (growth.page.take(), growth.zspage.take()) {
            (Some(page), Some(isolated)) => (page, isolated),
            (page, isolated) => {
                (growth.page, growth.zspage) = (page, isolated);
                return Err(missing);
            }
        };
        growth.page = guard.add_page(&isolated, page, 0).err();
        let handle = guard.malloc_in(&isolated, self.table());
        guard.putback_zspage(isolated);
        handle
    }

    /// Frees an object. A handle that is not one of a live, unmapped object is reported with a
    /// kernel warning and refused.
    ///
    /// Context: any but an interrupt; takes the class lock.
    #[inline(always)]
    pub fn free(&self, handle: Handle) -> Result<(), BadHandle> {
        self.try_free(handle)
            .inspect_err(|&why| self.report(handle, why))
    }

    #[inline(always)]
    fn try_free(&self, handle: Handle) -> Result<(), BadHandle> {
        // Whoever maps the object, or moves it, would wait for this task to run again.
        let no_preemption = NoPreemption::new();
        let entries = self.table().entries(no_preemption.rcu());
        let entry = entries.entry(handle).ok_or(BadHandle::NotAllocated)?;
        let location = match entry.try_lock(handle.generation()) {
            Ok(location) => location,
            Err(why) => lock_to_free(handle, entry, why)?,
        };
        // SAFETY: The entry is locked, so the object stays where it is, and its zspage as well.
        let (page, zspage) = unsafe {
            let page = ZsPage::from_pfn(location.pfn());
            (page, Zspage::of(page))
        };
        let Some(zspage) = zspage else {
            entry.unlock();
            return Err(BadHandle::Mismatch);
        };
        let class = zspage.class();
        let guard = class.lock();
        // SAFETY: The entry is locked, so the page is still the zspage's, which is of this class.
        let object = unsafe { Object::at(&guard, zspage, page, location) };
        let Some(object) = object.filter(|object| object.handle() == handle.in_object()) else {
            entry.unlock();
            return Err(BadHandle::Mismatch);
        };
        guard.handles().push_retired(entries, handle, entry);
        object.release();
        guard.object_freed();
        if (!guard.keeps_pages() && !object.keeps_its_pages()) || guard.has_spare_handles() {
            let mut unused = self.take_unused(&guard, object);
            drop(guard);
            drop(no_preemption);
            self.give_back(class, &mut unused);
            return Ok(());
        }
        guard.fix_fullness_group(zspage);
        Ok(())
    }

    /// Leaves what is on a list of the empty to the work.
    pub(super) fn defer_release(&self) {
        self.events().deferred_frees.fetch_add(1, Relaxed);
        self.schedule_work();
    }

    pub(super) fn schedule_work(&self) {
        self.deferred_free.schedule();
    }

    /// Takes the right to compact the pool, if nobody has it.
    pub(super) fn begin_compaction(&self) -> Option<Compacting<'_>> {
        // Not `then_some`: a guard that is made only to be dropped ends somebody else's compaction.
        (!self.compacting.swap(true, Acquire)).then(|| Compacting(self))
    }

    /// Pages that compaction could free now. Any context; an estimate.
    pub fn freeable_pages(&self) -> usize {
        self.classes()
            .map(SizeClass::freeable_pages)
            .fold(0, usize::saturating_add)
    }

    /// The shape and the counters of the class of index `index`, if there is one.
    pub fn class_stats(&self, index: usize) -> Option<(ClassShape, ClassStats)> {
        let class = self.class(index)?;
        Some((*class.shape(), class.stats()))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn report(&self, handle: Handle, why: BadHandle) {
        report::bad_handle(&self.name, handle.into_raw(), why.reason());
    }
}

/// The right to compact a pool.
pub(super) struct Compacting<'a>(&'a Pool);

impl Drop for Compacting<'_> {
    fn drop(&mut self) {
        self.0.compacting.store(false, Release);
    }
}

// Waits for whoever moves the object. Somebody may have it mapped, but not for more than a moment:
// see `LOCK_SPINS`.
#[cold]
#[inline(never)]
fn lock_to_free(
    handle: Handle,
    entry: HandleEntry<'_>,
    mut why: Refused,
) -> Result<ObjLocation, Refused> {
    let mut tries = 0..LOCK_SPINS;
    loop {
        match why {
            Refused::Moving => {}
            Refused::Busy if tries.next().is_some() => {}
            _ => return Err(why),
        }
        spin_loop();
        match entry.try_lock(handle.generation()) {
            Err(again) => why = again,
            Ok(location) => return Ok(location),
        }
    }
}

fn new_classes(
    geometry: &Geometry,
    shared: Arc<Shared>,
) -> impl PinInit<[Option<PinBox<SizeClass>>; MAX_CLASSES], Error> + '_ {
    try_array_from_fn(move |index| {
        let Some(shape) = geometry.shape(index) else {
            return Ok(None);
        };
        pin_box(SizeClass::new(shape, shared.clone())).map(Some)
    })
}

#[pinned_drop]
impl PinnedDrop for Pool {
    fn drop(self: Pin<&mut Self>) {
        self.deferred_free.flush();
        for class in self.classes() {
            for group in (0..NR_GROUPS).filter_map(Group::new) {
                if class.stats().zspages.get(group.number()) != Some(&0) {
                    report::group_not_empty(class.shape().size, group.number());
                }
                // What its user forgot is lost, but no page may be left that names the pool.
                self.release_group(class, group, true);
            }
        }
    }
}
