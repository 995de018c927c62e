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

use super::class::SizeClass;
pub use super::compactor::Compacted;
use super::compactor::Compactor;
use super::pool::Pool;
use super::zspage::Zspage;
use crate::sys::atomic::Ordering::Relaxed;

impl Pool {
    /// Compacts every class until no page can be freed. Does nothing and returns zeros if a
    /// compaction of the pool is running.
    ///
    /// Context: may sleep between two objects. Takes class locks.
    pub fn compact(&self) -> Compacted {
        let mut total = Compacted::default();
        let Some(_compacting) = self.begin_compaction() else {
            return total;
        };
        for class in self.classes() {
            let done = self.compact_class(class);
            total.pages = total.pages.saturating_add(done.pages);
            total.objects = total.objects.saturating_add(done.objects);
        }
        let events = self.events();
        events.pages_compacted.fetch_add(total.pages, Relaxed);
        events.objects_moved.fetch_add(total.objects, Relaxed);
        total
    }

    fn compact_class(&self, class: &SizeClass) -> Compacted {
        if class.freeable_pages() == 0 {
            return Compacted::default();
        }
        let released = self
            .release_sheaf(class, true)
            .saturating_add(self.release_empty(class));
        let mut compactor = Compactor::new(self, class);
        compactor.empty_zspages();
        let handles = compactor.guard.take_handles(self.table());
        compactor.guard.open_sheaf();
        let mut done = compactor.finish();
        self.give_back_handles(handles);
        done.pages = done.pages.saturating_add(released);
        done
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
