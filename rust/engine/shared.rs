// SPDX-License-Identifier: GPL-2.0

//! What a pool and its classes share: the handle table, and what is counted.

#![forbid(unsafe_code)]

use super::events::Events;
use super::handle_table::HandleTable;
use crate::sys::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sys::prelude::*;

// The count of pages is in parts, each of a few classes and in a cache line of its own: it is
// written whenever a page comes or goes, and zram reads it at each write.
const PAGE_SHARDS: usize = 16;

#[repr(align(64))]
struct PageShard(AtomicUsize);

/// See the module.
#[pin_data]
pub(super) struct Shared {
    #[pin]
    handles: HandleTable,
    pages: [PageShard; PAGE_SHARDS],
    events: Events,
}

impl Shared {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            handles <- HandleTable::new(),
            pages: [const { PageShard(AtomicUsize::new(0)) }; PAGE_SHARDS],
            events: Events::default(),
        })
    }

    /// The pool's handles.
    #[inline]
    pub(super) fn table(&self) -> &HandleTable {
        &self.handles
    }

    /// What happened so far.
    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// Pages in use for objects. Any context.
    pub(super) fn total_pages(&self) -> usize {
        self.pages
            .iter()
            .map(|PageShard(pages)| pages.load(Relaxed))
            .fold(0, usize::wrapping_add)
    }

    /// Counts a page that came or went, of the class of this index.
    pub(super) fn count_pages(&self, class: u16, delta: isize) {
        let shard = usize::from(class) % PAGE_SHARDS;
        if let Some(PageShard(pages)) = self.pages.get(shard) {
            pages.fetch_add(delta as usize, Relaxed);
        }
    }
}
