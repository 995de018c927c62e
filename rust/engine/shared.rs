// SPDX-License-Identifier: GPL-2.0

//! Data that all classes of a pool share: the handle table, the geometry and the counters.

#![forbid(unsafe_code)]

use super::events::Events;
use super::geometry::Geometry;
use super::handle_table::HandleTable;
use crate::sys::atomic::{AtomicUsize, Ordering::Relaxed};
use crate::sys::page::PAGE_SIZE;
use crate::sys::prelude::*;

// The page counter is split, and each part has a cache line. Every page that comes or goes writes
// to it, and zram reads it on every write to the device.
const PAGE_SHARDS: usize = 16;

#[repr(align(64))]
struct PageShard(AtomicUsize);

/// The data that all classes of a pool share.
#[pin_data]
pub(super) struct Shared {
    #[pin]
    handles: HandleTable,
    geometry: Geometry,
    pages: [PageShard; PAGE_SHARDS],
    events: Events,
}

impl Shared {
    pub(super) fn new(chain_limit: usize) -> impl PinInit<Self> {
        pin_init!(Self {
            handles <- HandleTable::new(),
            geometry: Geometry::new(PAGE_SIZE, chain_limit),
            pages: [const { PageShard(AtomicUsize::new(0)) }; PAGE_SHARDS],
            events: Events::default(),
        })
    }

    /// Returns the handle table of the pool.
    #[inline]
    pub(super) fn table(&self) -> &HandleTable {
        &self.handles
    }

    /// Returns the geometry of the classes.
    #[inline]
    pub(super) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the event counters.
    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    /// Returns the number of pages in zspages. Any context.
    pub(super) fn total_pages(&self) -> usize {
        self.pages
            .iter()
            .map(|PageShard(pages)| pages.load(Relaxed))
            .fold(0, usize::wrapping_add)
    }

    /// Adds `delta` to the number of pages. The index of the class, `class`, selects a counter.
    pub(super) fn count_pages(&self, class: u16, delta: isize) {
        let shard = usize::from(class) % PAGE_SHARDS;
        if let Some(PageShard(pages)) = self.pages.get(shard) {
            pages.fetch_add(delta as usize, Relaxed);
        }
    }
}
