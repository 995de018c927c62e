// SPDX-License-Identifier: GPL-2.0

//! Releasing pages, zspages and handles that a class no longer needs.
//!
//! A page is freed when no object is on it, not even one in the sheaf of its class. A zspage is freed
//! when it has no page. Both leave the class under its lock. Pages are freed without it. A locked page
//! stays in its zspage. An empty zspage with locked pages goes on the `ZS_INUSE_RATIO_0` list. It stays
//! there until `malloc` uses it, or until the last object of its class is freed, compaction runs, or
//! the deferred-free work does.

#![forbid(unsafe_code)]

use super::class::{ClassGuard, SizeClass};
use super::events::BadHandle;
use super::fullness::Group;
use super::handle_table::{FreeHandles, Handle};
use super::isolated::IsolatedZspage;
use super::page_batch::PageBatch;
use super::pool::Pool;
use super::zspage::Zspage;
use crate::sys::page::PinnedPage;
use crate::sys::work::WorkItem;

impl<'c> ClassGuard<'c> {
    // Frees the zspages without pages on the `ZS_INUSE_RATIO_0` list. Returns whether zspages with
    // pages, which are locked, are left there.
    fn free_without_pages(&mut self) -> bool {
        while let Some(isolated) = self.isolate_without_pages() {
            isolated.free(self);
        }
        self.has_empty_zspages()
    }

    // Detaches the unused pages of a zspage, and adds them to `pages`. Returns one that is locked.
    fn detach_all(&self, zspage: &Zspage, pages: &mut PageBatch<'_>) -> Option<PinnedPage> {
        let contended = zspage.detach_all(self, |page, free_slots| {
            self.pages_gone(1, free_slots);
            pages.add(self, page);
        });
        contended.map(|page| page.pin())
    }
}

impl Pool {
    // Flushes the sheaf after `free` of `handle` demanded it, and drops the class lock. Returns an
    // error if the object of that handle is refused. Reports all others that are.
    #[inline(never)]
    pub(super) fn flush_freed(
        &self,
        guard: ClassGuard<'_>,
        handle: Handle,
    ) -> Result<(), BadHandle> {
        let class = guard.class();
        let count = guard.flush_count(guard.entries(self.table()), handle);
        let mut result = Ok(());
        self.flush_sheaf(guard, count, |refused| {
            if refused == handle {
                result = Err(BadHandle::Mismatch);
            } else {
                self.report(refused, "zs_free", BadHandle::Mismatch);
            }
        });
        self.arm_background(class);
        result
    }

    // Flushes the `count` oldest objects of the sheaf, drops the class lock, and frees what the class
    // no longer needs. Returns the number of pages freed.
    fn flush_sheaf(
        &self,
        mut guard: ClassGuard<'_>,
        count: usize,
        refuse: impl FnMut(Handle),
    ) -> usize {
        let class = guard.class();
        let mut pages = PageBatch::new(class);
        let emptied = guard.flush(self.table(), count, &mut pages, refuse);
        let empty_left = (emptied && guard.free_without_pages()) || guard.is_empty();
        let handles = guard.take_spare_handles(self.table());
        let freed = pages.len();
        pages.unlock_and_free(guard, None);
        self.give_back_handles(handles);
        if empty_left {
            return freed.saturating_add(self.release_empty(class));
        }
        freed
    }

    // Empties the sheaf of a class. With `close`, keeps it closed. Returns the number of pages freed.
    pub(super) fn release_sheaf(&self, class: &SizeClass, close: bool) -> usize {
        let guard = class.lock();
        if close {
            guard.close_sheaf();
        }
        let count = guard.sheaf().len();
        self.flush_sheaf(guard, count, |refused| {
            self.report(refused, "zs_free", BadHandle::Mismatch);
        })
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
            self.release_sheaf(class, false);
            let handles = class.lock().take_handles(self.table());
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
