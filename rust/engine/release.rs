// SPDX-License-Identifier: GPL-2.0

//! Releasing pages, zspages and handles that a class no longer needs.
//!
//! A page is freed when no object is on it, unless its class keeps it. A zspage is freed when it
//! has no page. Both leave the class under its lock and are freed without it. A locked page stays
//! in its zspage. An empty zspage with pages that are locked or kept goes on the `ZS_INUSE_RATIO_0`
//! list. It stays there until `malloc` uses it, or until the last object of its class is freed,
//! compaction runs, or the deferred-free work does.

#![forbid(unsafe_code)]

use core::ops::Range;

use super::class::{ClassGuard, SizeClass};
use super::fullness::Group;
use super::handle_table::FreeHandles;
use super::isolated::IsolatedZspage;
use super::object::Object;
use super::page_batch::PageBatch;
use super::pool::Pool;
use super::zspage::Zspage;
use crate::sys::page::{DetachedPage, PinnedPage};
use crate::sys::work::WorkItem;

// What a class no longer needs.
pub(super) struct Unused<'c> {
    handles: FreeHandles,
    zspage: Option<IsolatedZspage<'c>>,
    pages: PageBatch<'c>,
    // The `ZS_INUSE_RATIO_0` list may have zspages to free.
    empty_left: bool,
}

impl<'c> ClassGuard<'c> {
    /// Detaches the pages of a freed object that hold no other object. Skips pages that are locked.
    ///
    /// The caller must then call [`ClassGuard::fix_fullness_group`] on the zspage.
    fn detach_unused(&self, freed: &Object<'_>) -> PageBatch<'c> {
        let mut pages = PageBatch::new(self.class());
        for position in freed.positions() {
            if let Some((page, free_slots)) = freed.zspage().detach_unused(self, position) {
                self.page_gone(free_slots);
                pages.add(self, page);
            }
        }
        pages
    }

    /// Returns the last slot in use in `slots` and below `end`. Detaches the unused pages after it
    /// that hold no part of a slot outside `slots`, and passes each to `release`. Skips pages that
    /// are locked.
    ///
    /// The caller must then call [`ClassGuard::fix_fullness_group`] or put the zspage back.
    pub(super) fn detach_tail(
        &self,
        zspage: &Zspage,
        slots: &Range<usize>,
        end: usize,
        mut release: impl FnMut(DetachedPage),
    ) -> Option<usize> {
        zspage.detach_tail(self, slots, end, |page, free_slots| {
            self.page_gone(free_slots);
            release(page);
        })
    }

    // Detaches the unused pages of a zspage, and adds them to `pages`. Returns one that is locked.
    fn detach_all(&self, zspage: &Zspage, pages: &mut PageBatch<'_>) -> Option<PinnedPage> {
        let contended = zspage.detach_all(self, |page, free_slots| {
            self.page_gone(free_slots);
            pages.add(self, page);
        });
        contended.map(|page| page.pin())
    }
}

impl Pool {
    // Takes what a class no longer needs after `object` was freed, or returns `None`.
    #[inline(never)]
    pub(super) fn take_unused<'c>(
        &self,
        guard: &ClassGuard<'c>,
        object: &Object<'_>,
    ) -> Option<Unused<'c>> {
        let zspage = object.zspage();
        let pages = if guard.keeps_pages() || object.keeps_its_pages() {
            PageBatch::new(guard.class())
        } else {
            guard.detach_unused(object)
        };
        let handles = guard.take_spare_handles(self.table());
        if zspage.inuse() != 0 {
            guard.fix_fullness_group(zspage);
            if pages.len() == 0 && handles.is_empty() {
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

    // Drops the class lock, and frees what `take_unused` took.
    #[inline(never)]
    pub(super) fn unlock_and_free(&self, guard: ClassGuard<'_>, mut unused: Unused<'_>) {
        let class = guard.class();
        unused.pages.unlock_and_free(guard, unused.zspage);
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
            isolated.free(guard);
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

    // Frees the zspages of one group, which have no object. Returns the number of pages freed.
    pub(super) fn release_group(&self, class: &SizeClass, group: Group, wait: bool) -> usize {
        let mut freed = 0usize;
        loop {
            let guard = class.lock();
            let Some(isolated) = guard.isolate_first(group) else {
                return freed;
            };
            let mut pages = PageBatch::new(class);
            let contended = guard.detach_all(&isolated, &mut pages);
            freed = freed.saturating_add(pages.len());
            let released = if contended.is_none() {
                Some(isolated)
            } else {
                guard.putback_zspage(isolated);
                None
            };
            pages.unlock_and_free(guard, released);
            let Some(page) = contended else { continue };
            if !wait {
                drop(page);
                self.defer_release();
                return freed;
            }
            page.wait_unlocked();
        }
    }
}

impl WorkItem for Pool {
    fn run(&self) {
        self.free_deferred();
        self.table().trim();
    }
}
