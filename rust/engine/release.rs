// SPDX-License-Identifier: GPL-2.0

//! Giving back: pages, zspages and handles that a class does not need any more.
//!
//! A page goes when nothing on it is in use, unless its class keeps it; a zspage when it has no
//! page. Both leave the class under its lock, and go after it was let go. A page that somebody has
//! locked stays in its zspage. One that is empty but for such pages, or kept ones, waits on the
//! list of the empty: for `malloc`, for the last object of the class, for compaction or for the
//! work.

use super::class::{ClassGuard, SizeClass};
use super::fullness::Group;
use super::geometry::MAX_CHAIN_LIMIT;
use super::handle_table::FreeHandles;
use super::isolated::IsolatedZspage;
use super::object::Object;
use super::owned_page::OwnedPage;
use super::pool::Pool;
use crate::sys::work::WorkItem;

// What a class does not need any more.
pub(super) struct Unused<'c> {
    handles: FreeHandles,
    zspage: Option<IsolatedZspage<'c>>,
    pages: [Option<OwnedPage>; 2],
    // There may be zspages on the list of the empty.
    empty_left: bool,
}

impl Pool {
    // Takes from the class what it does not need any more after an object was freed, if there is
    // anything.
    #[inline(never)]
    pub(super) fn take_unused<'c>(
        &self,
        guard: &ClassGuard<'c>,
        object: Object<'_>,
    ) -> Option<Unused<'c>> {
        let zspage = object.zspage();
        let pages = if guard.keeps_pages() || object.keeps_its_pages() {
            [None, None]
        } else {
            guard.detach_unused(&object)
        };
        let handles = guard.take_spare_handles(self.table());
        if zspage.inuse() != 0 {
            guard.fix_fullness_group(zspage);
            if pages.iter().all(Option::is_none) && handles.is_empty() {
                return None;
            }
        }
        let mut unused = Unused {
            handles,
            zspage: None,
            pages,
            empty_left: guard.is_empty(),
        };
        if zspage.inuse() == 0 {
            // One that is being compacted is left to that.
            match guard.isolate_zspage(zspage) {
                Some(isolated) if isolated.page_count() == 0 => unused.zspage = Some(isolated),
                // Others of its pages were kept, or somebody has one locked.
                Some(isolated) => {
                    guard.putback_zspage(isolated);
                    unused.empty_left = true;
                }
                None => {}
            }
        }
        Some(unused)
    }

    // The pages go when they are dropped: that need not wait for the class lock, nor the class lock
    // for that.
    #[inline(never)]
    pub(super) fn give_back(&self, class: &SizeClass, unused: &mut Option<Unused<'_>>) {
        let Some(unused) = unused.take() else {
            return;
        };
        drop(unused.pages);
        if let Some(zspage) = unused.zspage {
            // SAFETY: The guard with which it was taken is gone, and it has been on no list since.
            unsafe { zspage.release() };
        }
        self.give_back_handles(unused.handles);
        if unused.empty_left {
            self.release_empty(class);
        }
    }

    // Returns entries to the table. If none is left with a class, the work frees what it can of it.
    pub(super) fn give_back_handles(&self, handles: FreeHandles) {
        if self.table().give_back(handles) {
            self.schedule_work();
        }
    }

    // Takes the free entries of every class back to the table: one class has none, and no memory can
    // be allocated.
    #[cold]
    pub(super) fn reclaim_handles(&self) {
        for class in self.classes() {
            let handles = class.lock().take_handles();
            self.give_back_handles(handles);
        }
    }

    // Releases a zspage that has nothing in use, and that compaction took all pages of. If somebody
    // has one locked, it goes on the list of the empty, where `malloc` may find it, and else the
    // work does.
    pub(super) fn putback_empty_zspage(
        &self,
        guard: &mut ClassGuard<'_>,
        isolated: IsolatedZspage<'_>,
    ) {
        if isolated.page_count() == 0 {
            // SAFETY: Nothing that the guard lent outlives its exclusive borrow, and it has been on
            // no list since it was taken.
            unsafe { isolated.release() };
            return;
        }
        guard.putback_zspage(isolated);
        self.defer_release();
    }

    /// Releases the zspages on the lists of the empty.
    ///
    /// Context: may sleep, waits for page locks.
    pub fn free_deferred(&self) {
        for class in self.classes() {
            self.release_group(class, Group::EMPTY, true);
        }
    }

    // The same for one class, without waiting: what has a page locked is left to the work. How many
    // pages that freed.
    pub(super) fn release_empty(&self, class: &SizeClass) -> usize {
        self.release_group(class, Group::EMPTY, false)
    }

    // Releases every zspage of one group. How many pages that freed.
    pub(super) fn release_group(&self, class: &SizeClass, group: Group, wait: bool) -> usize {
        let mut freed = 0usize;
        loop {
            let guard = class.lock();
            let Some(isolated) = guard.isolate_first(group) else {
                return freed;
            };
            let mut pages = [const { None }; MAX_CHAIN_LIMIT];
            let mut slots = pages.iter_mut();
            let release = |page, free_slots| {
                guard.page_gone(free_slots);
                freed = freed.saturating_add(1);
                if let Some(slot) = slots.next() {
                    *slot = Some(page);
                }
            };
            // SAFETY: Nothing is in use in the group of the empty; others are released with the
            // pool.
            let contended = unsafe { isolated.strip(&guard, release) };
            let released = match contended {
                None => Some(isolated),
                Some(_) => {
                    guard.putback_zspage(isolated);
                    None
                }
            };
            drop(guard);
            pages.fill_with(|| None);
            if let Some(isolated) = released {
                // SAFETY: As in `give_back`.
                unsafe { isolated.release() };
            }
            let Some(page) = contended else { continue };
            // SAFETY: `strip` took a reference.
            unsafe {
                if wait {
                    page.wait_unlocked();
                }
                page.put();
            }
            if !wait {
                self.defer_release();
                return freed;
            }
        }
    }
}

impl WorkItem for Pool {
    fn run(&self) {
        self.free_deferred();
        self.table().trim();
    }
}
