// SPDX-License-Identifier: GPL-2.0

//! Compaction: objects of the emptiest zspages move into the fullest, and pages come free.
//!
//! The choice of source and destination is that of the series "zsmalloc: fine-grained fullness and
//! new compaction algorithm" (Linux 6.4, `__zs_compact()`). Four things differ:
//!
//! - What it holds: the class lock for one object at a time if anybody waits for it, and the entry
//!   lock of the one object that is being copied. Source and destination stay isolated
//!   meanwhile.
//! - It goes on until no *page* can be freed, where C stops when no *zspage* can: what is left of
//!   a class in the end is full zspages and some pages of one more.
//! - A destination may lack pages. It gets those that its sources no longer need.
//! - The objects of that zspage move to its front.

#![forbid(unsafe_code)]

use super::class::SizeClass;
use super::compactor::{Compactor, PageBatch};
use super::pool::Pool;
use super::zspage::Zspage;
use crate::sys::atomic::Ordering::Relaxed;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Pages freed.
    pub pages: usize,
    /// Objects moved.
    pub objects: usize,
}

impl Pool {
    /// Compacts every class until no page can be freed. Returns what this call did: nothing, if
    /// the pool is being compacted already.
    ///
    /// Context: may sleep between objects.
    pub fn compact(&self) -> Compacted {
        let mut total = Compacted::default();
        let Some(_compacting) = self.begin_compaction() else {
            return total;
        };
        let mut freed = PageBatch::default();
        for class in self.classes() {
            let done = self.compact_class(class, &mut freed);
            total.pages = total.pages.saturating_add(done.pages);
            total.objects = total.objects.saturating_add(done.objects);
        }
        let events = self.events();
        events.pages_compacted.fetch_add(total.pages, Relaxed);
        events.objects_moved.fetch_add(total.objects, Relaxed);
        total
    }

    fn compact_class(&self, class: &SizeClass, freed: &mut PageBatch) -> Compacted {
        if class.freeable_pages() == 0 {
            return Compacted::default();
        }
        // What is empty was kept, and is in nobody's way.
        let released = self.release_empty(class);
        let mut compactor = Compactor::new(self, class, freed);
        compactor.empty_zspages();
        let handles = compactor.guard.take_handles();
        let mut done = compactor.finish();
        self.give_back_handles(handles);
        done.pages = done.pages.saturating_add(released);
        done
    }
}

impl Compactor<'_, '_> {
    // Moves objects of the emptiest zspages into the fullest, until no page can be freed.
    fn empty_zspages(&mut self) {
        // The destination, while there is room in it.
        let mut kept = None;
        let mut no_page = false;
        let last = loop {
            if self.class().freeable_pages() == 0 {
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
            // What has a free slot may be the emptier one: the two would take turns for ever.
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
            // An object is mapped, or the destination needs a page and there is none.
            let stuck = !source_empty && !destination.is_full() && moved == 0;
            if stuck && no_page {
                break Some(destination);
            }
            self.putback_zspage(destination);
            // Those that need no page may do.
            no_page |= stuck;
        };
        if let Some(last) = last {
            self.pack(&last);
            self.putback_zspage(last);
        }
    }

    // Moves objects of the one zspage that is left to its front: what comes free behind them goes.
    fn pack(&mut self, zspage: &Zspage) {
        let class = self.class();
        for position in (1..usize::from(class.shape().pages)).rev() {
            if class.freeable_pages() == 0 {
                return;
            }
            // A slot that goes on from the page before cannot stay, either.
            let split = class.layout().touching(position).start;
            self.move_objects(zspage, Some(split), zspage);
        }
    }
}
