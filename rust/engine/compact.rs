// SPDX-License-Identifier: GPL-2.0

//! Compaction: move objects from the emptiest zspages to the fullest, and free the pages.
//!
//! Source and destination are chosen as in the series "zsmalloc: fine-grained fullness and new
//! compaction algorithm" (Linux 6.4, `__zs_compact()`). Four things differ:
//!
//! - The class lock is dropped between two objects if it is contended. Only the entry of the object
//!   being copied is locked. Source and destination stay isolated.
//! - C stops when no *zspage* can be freed. This goes on until no *page* can be freed. A class ends
//!   with full zspages and at most one partial zspage.
//! - A destination may lack pages. It gets pages that its sources freed.
//! - Objects in the last partial zspage move to its front.

#![forbid(unsafe_code)]

use core::cell::Cell;

use super::class::SizeClass;
pub use super::compactor::Compacted;
use super::compactor::Compactor;
use super::pool::Pool;
use super::zspage::Zspage;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::{sched, trace};

/// Who compacts a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A user: zram, when its `compact` is written to.
    User,
    /// The kernel, when it needs memory.
    Shrinker,
    /// The work of [`super::background`].
    Background,
}

/// The claim of the running compaction.
pub(super) struct Compaction<'a> {
    pool: &'a Pool,
    by: By,
    done: Cell<Compacted>,
}

impl Pool {
    /// Compacts every class until no page can be freed. Does nothing and returns zeros if another
    /// user or the shrinker compacts the pool. Waits for the background to end its run.
    ///
    /// Context: may sleep between two objects. Takes class locks.
    pub fn compact(&self) -> Compacted {
        while self.in_background_run() {
            sched::sleep_a_tick();
        }
        self.compact_all(By::User)
    }

    /// Like [`Pool::compact`], for the shrinker of the pool. Does not wait for the background.
    pub fn shrink(&self) -> Compacted {
        self.compact_all(By::Shrinker)
    }

    fn compact_all(&self, by: By) -> Compacted {
        let Some(compaction) = self.begin_compaction(by) else {
            return Compacted::default();
        };
        for class in self.classes() {
            compaction.compact_class(class, usize::MAX);
        }
        compaction.done.get()
    }

    /// Claims the compaction of the pool. Returns `None` if one is running.
    ///
    /// The claim protects no memory, so it is not ordered: a compaction counts its own pages, and all
    /// that it touches is under class locks.
    pub(super) fn begin_compaction(&self, by: By) -> Option<Compaction<'_>> {
        trace::compact_start(self.name(), by as u8, || self.freeable_pages());
        if self.compacting().swap(true, Relaxed) {
            trace::compact_end(self.name(), by as u8, 0, 0);
            return None;
        }
        Some(Compaction {
            pool: self,
            by,
            done: Cell::default(),
        })
    }
}

impl Compaction<'_> {
    /// Compacts a class until no page can be freed, or `most` were. Returns how many.
    ///
    /// Context: may sleep between two objects. Takes the class lock.
    pub(super) fn compact_class(&self, class: &SizeClass, most: usize) -> usize {
        if class.freeable_pages() == 0 {
            return 0;
        }
        let pool = self.pool;
        let released = pool
            .release_sheaf(class, true)
            .saturating_add(pool.release_empty(class));
        let mut compactor = Compactor::new(pool, class, most);
        compactor.empty_zspages();
        let Compacted { pages, objects } = compactor.finish();
        let pages = pages.saturating_add(released);
        let done = self.done.get();
        self.done.set(Compacted {
            pages: done.pages.saturating_add(pages),
            objects: done.objects.saturating_add(objects),
        });
        pages
    }
}

impl Drop for Compaction<'_> {
    fn drop(&mut self) {
        let Compacted { pages, objects } = self.done.get();
        let events = self.pool.events();
        events.objects_moved.fetch_add(objects, Relaxed);
        match self.by {
            By::User => &events.pages_compacted_user,
            By::Shrinker => &events.pages_compacted_shrinker,
            By::Background => &events.pages_compacted_background,
        }
        .fetch_add(pages, Relaxed);
        trace::compact_end(self.pool.name(), self.by as u8, pages, objects);
        self.pool.compacting().store(false, Relaxed);
    }
}

impl Compactor<'_> {
    // Moves objects from the emptiest zspages to the fullest until no page can be freed.
    fn empty_zspages(&mut self) {
        // The destination, kept across sources until it is full.
        let mut kept = None;
        let mut no_page = false;
        let last = loop {
            if self.is_done() {
                break kept;
            }
            let destination = match kept.take() {
                Some(kept) => Some(kept),
                None if no_page => self.guard.isolate_free_dst_zspage(),
                None => self.guard.isolate_dst_zspage(),
            };
            let Some(destination) = destination else {
                break None;
            };
            let Some(source) = self.guard.isolate_src_zspage() else {
                break Some(destination);
            };
            // Only zspages with a free slot are destinations now. One may be emptier than the
            // source, and moving objects back and forth would never end.
            if no_page && source.inuse() > destination.inuse() {
                self.putback_zspage(source);
                break Some(destination);
            }
            let moved = self.move_objects(&source, None, &destination);
            let source_empty = source.inuse() == 0;
            self.putback_zspage(source);
            if source_empty && !destination.is_full() {
                kept = Some(destination);
                continue;
            }
            // An object is busy, or the destination needs a page and the allocation failed.
            let stuck = !source_empty && !destination.is_full() && moved == 0;
            if stuck && no_page {
                break Some(destination);
            }
            self.putback_zspage(destination);
            // Retry with destinations that need no page.
            no_page |= stuck;
        };
        if let Some(last) = last {
            self.pack(&last);
            self.putback_zspage(last);
        }
    }

    // Moves objects of the last partial zspage to its front, so that pages at its end can be freed.
    fn pack(&mut self, zspage: &Zspage) {
        let class = self.class();
        for position in (1..usize::from(class.shape().pages)).rev() {
            if self.is_done() {
                return;
            }
            // An object that begins on the previous page keeps this page in use, so move it too.
            let split = class.layout().touching(position).start;
            self.move_objects(zspage, Some(split), zspage);
        }
    }
}
