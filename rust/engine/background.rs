// SPDX-License-Identifier: GPL-2.0

//! Compaction in the background: freed memory comes back without anybody asking for it.
//!
//! The module parameter `compaction_proactiveness` controls it, from 0, never, to 100. It is named
//! after `vm.compaction_proactiveness`, and like that one sets two watermarks: a pool is compacted
//! when more than `(100 - proactiveness) / 10` percent of its pages could be freed, until at most
//! half of that can.
//!
//! There is no polling. A flush of freed objects that leaves a class above the upper watermark *arms*
//! the work, which then looks at the pool every [`LOOK_MS`]. As long as the number of objects changes
//! fast, it only looks: a pool that grows is about to use its free slots, and of one that shrinks
//! fast the objects that it would move are about to be freed. When there is nothing to do, the work
//! disarms itself, and looks once more: a `free` may not have seen that.
//!
//! A run ends after [`RUN_NS`], and the next one starts so much later that the runs of a pool use at
//! most one [`SHARE`]th of a CPU.

#![forbid(unsafe_code)]

use super::class::SizeClass;
use super::compact::By;
use super::pool::Pool;
use crate::sys::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use crate::sys::page::PAGE_SIZE;
use crate::sys::param;
use crate::sys::sched;
use crate::sys::work::WorkItem;

/// Milliseconds between two looks at a pool.
pub const LOOK_MS: u32 = 500;

/// Nanoseconds after which a run ends, with the batch of pages that it is freeing.
pub const RUN_NS: u64 = 2_000_000;

/// The work uses at most one in `SHARE` of the time of a CPU.
pub const SHARE: u64 = 10;

/// The number of pages in a batch. The work looks at the time after each.
const BATCH_PAGES: usize = 64;

/// The number of objects changes fast if it differs by more than one in `FAST` between two looks.
const FAST: usize = 32;

/// How often in a row a run may free nothing before the work gives up.
const FRUITLESS: u8 = 8;

/// Tells the work from the other work item of a pool.
pub(super) const BACKGROUND: u64 = 1;

// The work is not armed: it is not scheduled, or only for a last look.
const IDLE: u8 = 0;
// The work will look at the pool. A `free` need not arm it.
const ARMED: u8 = 1;
// The pool is being compacted down to the lower watermark.
const COMPACTING: u8 = 2;

/// What the work knows about its pool.
#[derive(Default)]
pub(super) struct Background {
    state: AtomicU8,
    // The number of objects at the last look, or when the compaction began. Zero before the first.
    objs: AtomicUsize,
    // The index of the class that the next run begins with.
    next_class: AtomicUsize,
    // The number of runs in a row that freed nothing.
    fruitless: AtomicU8,
    // Whether the work has, or is about to claim, the compaction of the pool.
    in_run: AtomicU8,
}

// The upper watermark, in tenths of a percent.
fn high_mark(proactiveness: usize) -> usize {
    100usize.saturating_sub(proactiveness)
}

// Returns whether `freeable` is more than `tenths` of a percent of `pages`.
fn exceeds(freeable: usize, pages: usize, tenths: usize) -> bool {
    freeable.saturating_mul(1000) > pages.saturating_mul(tenths)
}

impl SizeClass {
    // Returns false if no page could be freed. True does not mean that one could.
    #[inline]
    fn may_have_to_spare(&self) -> bool {
        let stored = self.objs_inuse().saturating_mul(self.shape().size as usize);
        self.pages() > stored.div_ceil(PAGE_SIZE)
    }

    // Returns whether more than `tenths` of a percent of the pages of the class could be freed.
    fn has_to_spare(&self, tenths: usize) -> bool {
        exceeds(self.freeable_pages(), self.pages(), tenths)
    }
}

impl Pool {
    /// Arms the background compaction after objects of `class` were freed, if it has much to spare.
    ///
    /// Context: any but an interrupt. No lock may be held.
    #[inline]
    pub(super) fn arm_background(&self, class: &SizeClass) {
        if self.background().state.load(Relaxed) == IDLE && class.may_have_to_spare() {
            self.arm(class);
        }
    }

    #[cold]
    fn arm(&self, class: &SizeClass) {
        let proactiveness = param::compaction_proactiveness();
        if proactiveness == 0 || !class.has_to_spare(high_mark(proactiveness)) {
            return;
        }
        let state = &self.background().state;
        let armed = state.compare_exchange(IDLE, ARMED, Relaxed, Relaxed);
        if armed.is_ok() {
            self.run_background_after(LOOK_MS);
        }
    }

    // Counts a run that freed nothing. Returns whether there were enough in a row.
    fn is_fruitless(&self) -> bool {
        self.background().fruitless.fetch_add(1, Relaxed) >= FRUITLESS
    }

    /// Returns whether the background compacts the pool, or is about to.
    pub(super) fn in_background_run(&self) -> bool {
        self.background().in_run.load(Relaxed) != 0
    }

    // Returns true if the work was armed.
    fn disarm(&self) -> bool {
        self.background().objs.store(0, Relaxed);
        self.background().state.swap(IDLE, Relaxed) != IDLE
    }

    // Returns whether the number of objects changes fast. Called once for each look.
    fn changes_fast(&self, objs: usize) -> bool {
        let background = self.background();
        let before = background.objs.load(Relaxed);
        let fast = objs.abs_diff(before).saturating_mul(FAST) > objs;
        if fast || background.state.load(Relaxed) != COMPACTING {
            background.objs.store(objs, Relaxed);
        }
        if fast && before != 0 {
            self.events().background_deferred.fetch_add(1, Relaxed);
        }
        fast
    }

    // Compacts classes that have more than `tenths` of a percent of their pages to spare, until the
    // time is over. Returns the number of pages that it freed, and the time that it took in
    // nanoseconds. Returns `None` if the pool is being compacted.
    fn compact_for_a_while(&self, tenths: usize) -> Option<(usize, u64)> {
        let background = self.background();
        let begin = sched::clock_ns();
        let compaction = self.begin_compaction(By::Background)?;
        let (mut freed, mut elapsed) = (0usize, 0);
        // Each class once, from the one where the last run ended.
        let first = background.next_class.load(Relaxed);
        for class in self.classes_from(first) {
            if elapsed >= RUN_NS {
                let index = usize::from(class.shape().index);
                background.next_class.store(index, Relaxed);
                break;
            }
            while elapsed < RUN_NS && class.has_to_spare(tenths) {
                let pages = compaction.compact_class(class, BATCH_PAGES);
                freed = freed.saturating_add(pages);
                elapsed = sched::clock_ns().saturating_sub(begin);
                if pages == 0 {
                    break;
                }
            }
        }
        let events = self.events();
        events.background_runs.fetch_add(1, Relaxed);
        events
            .background_us
            .fetch_add((elapsed / 1000) as usize, Relaxed);
        Some((freed, elapsed))
    }
}

impl WorkItem<BACKGROUND> for Pool {
    fn run(&self) {
        let state = &self.background().state;
        // The watermarks, in tenths of a percent.
        let proactiveness = param::compaction_proactiveness();
        let high = high_mark(proactiveness);
        let low = high / 2;
        let mark = match state.load(Relaxed) {
            COMPACTING => low,
            _ => high,
        };
        let freeable = self.freeable_pages();
        if proactiveness == 0 || !exceeds(freeable, self.total_pages(), mark) {
            if self.disarm() {
                self.run_background_after(LOOK_MS);
            }
            return;
        }
        if self.changes_fast(self.objects()) {
            state.store(ARMED, Relaxed);
            self.run_background_after(LOOK_MS);
            return;
        }
        state.store(COMPACTING, Relaxed);
        self.background().in_run.store(1, Relaxed);
        let done = self.compact_for_a_while(low);
        self.background().in_run.store(0, Relaxed);
        match done {
            // Somebody else compacts the pool.
            None => self.run_background_after(LOOK_MS),
            // What could move is being read, in all classes or in several. The next `free` arms the
            // work again. One that was meanwhile did not.
            Some((0, elapsed)) if elapsed < RUN_NS || self.is_fruitless() => {
                self.background().fruitless.store(0, Relaxed);
                self.disarm();
                if self.freeable_pages() > freeable {
                    state.store(ARMED, Relaxed);
                    self.run_background_after(LOOK_MS);
                }
            }
            Some((freed, elapsed)) => {
                if freed != 0 {
                    self.background().fruitless.store(0, Relaxed);
                }
                let pause = elapsed.saturating_mul(SHARE - 1).div_ceil(1_000_000);
                self.run_background_after(pause.try_into().unwrap_or(LOOK_MS));
            }
        }
    }
}
