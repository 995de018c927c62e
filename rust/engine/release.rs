// SPDX-License-Identifier: GPL-2.0

//! Releasing pages, zspages and handles that a class no longer needs.
//!
//! A page is freed when no object is on it, unless its class keeps it. A zspage is freed when it
//! has no page. Both leave the class under its lock and are freed without it. A locked page stays
//! in its zspage. An empty zspage with pages that are locked or kept goes on the `ZS_INUSE_RATIO_0`
//! list. It stays there until `malloc` uses it, or until the last object of its class is freed,
//! compaction runs, or the deferred-free work does.

use super::class::{ClassGuard, SizeClass};
use super::fullness::Group;
use super::geometry::MAX_CHAIN_LIMIT;
use super::handle_table::FreeHandles;
use super::isolated::IsolatedZspage;
use super::object::Object;
use super::owned_page::OwnedPage;
use super::pool::Pool;
use crate::sys::work::WorkItem;

// What a class no longer needs.
pub(super) struct Unused<'c> {
    handles: FreeHandles,
    zspage: Option<IsolatedZspage<'c>>,
    pages: [Option<OwnedPage>; 2],
    // The `ZS_INUSE_RATIO_0` list may have zspages to free.
    empty_left: bool,
}

impl Pool {
    // Takes what a class no longer needs after `object` was freed, or returns `None`.
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
            // If it is isolated already, compaction frees it.
            match guard.isolate_zspage(zspage) {
                Some(isolated) if isolated.page_count() == 0 => unused.zspage = Some(isolated),
                // A page was kept or is locked.
                Some(isolated) => {
                    guard.putback_zspage(isolated);
                    unused.empty_left = true;
                }
                None => {}
            }
        }
        Some(unused)
    }

    // Frees what `take_unused` took. The class lock is not held while the pages are freed.
    #[inline(never)]
    pub(super) fn give_back(&self, class: &SizeClass, unused: &mut Option<Unused<'_>>) {
        let Some(unused) = unused.take() else {
            return;
        };
        drop(unused.pages);
        if let Some(zspage) = unused.zspage {
            // SAFETY: The guard that isolated it was dropped. It has been on no list since.
            unsafe { zspage.release() };
        }
        self.give_back_handles(unused.handles);
        if unused.empty_left {
            self.release_empty(class);
        }
    }

    // Returns entries to the table. The work trims the table if all entries are unused now.
    pub(super) fn give_back_handles(&self, handles: FreeHandles) {
        if self.table().give_back(handles) {
            self.schedule_work();
        }
    }

    // Returns all free entries of classes to the table. Called when the table cannot grow.
    #[cold]
    pub(super) fn reclaim_handles(&self) {
        for class in self.classes() {
            let handles = class.lock().take_handles();
            self.give_back_handles(handles);
        }
    }

    // Frees a zspage that compaction emptied. If a page of it was locked, puts the zspage on the
    // `ZS_INUSE_RATIO_0` list instead, where `malloc` or the deferred-free work finds it.
    pub(super) fn putback_empty_zspage(
        &self,
        guard: &mut ClassGuard<'_>,
        isolated: IsolatedZspage<'_>,
    ) {
        if isolated.page_count() == 0 {
            // SAFETY: `guard` is borrowed exclusively. The zspage was isolated all the time.
            unsafe { isolated.release() };
            return;
        }
        guard.putback_zspage(isolated);
        self.defer_release();
    }

    /// Frees the zspages on the `ZS_INUSE_RATIO_0` lists.
    ///
    /// Context: may sleep. Takes class locks, and waits for page locks.
    pub fn free_deferred(&self) {
        for class in self.classes() {
            self.release_group(class, Group::EMPTY, true);
        }
    }

    // Frees the empty zspages of one class without waiting: if a page is locked, leaves the rest to
    // the work. Returns the number of pages freed.
    pub(super) fn release_empty(&self, class: &SizeClass) -> usize {
        self.release_group(class, Group::EMPTY, false)
    }

    // Frees the zspages of one group. Returns the number of pages freed.
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
            // SAFETY: Zspages of group `EMPTY` have no objects. Only `Pool::drop` passes other
            // groups, and then nobody uses the pool.
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
                // SAFETY: The guard that isolated it is dropped, and it has been on no list since.
                unsafe { isolated.release() };
            }
            let Some(page) = contended else { continue };
            // SAFETY: `strip` took a reference to the page.
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
