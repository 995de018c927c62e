// SPDX-License-Identifier: GPL-2.0

//! A compactor at work in a class: it moves objects, and gives back the pages that come free.

#![forbid(unsafe_code)]

use core::ops::Range;

use super::class::{ClassGuard, SizeClass};
use super::compact::Compacted;
use super::geometry::MAX_CHAIN_LIMIT;
use super::isolated::IsolatedZspage;
use super::object::Object;
use super::owned_page::OwnedPage;
use super::pool::Pool;
use super::zspage::Zspage;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::lockdep::{self, Acquire};
use crate::sys::prelude::*;
use crate::sys::sched;

/// How often mapped objects of a source are waited for; then they are left behind.
const BUSY_RETRIES: usize = 32;

enum Step {
    Moved,
    DestinationFull,
    // The object is mapped or just then freed, or its handle is overwritten.
    Busy,
}

/// How many pages that came free are collected before the class lock is let go to give them back.
const BATCH: usize = 8;

/// Pages that came free while the class lock is held.
///
/// They are locked. Giving them to the kernel can take long, so the class lock is let go for that.
#[derive(Default)]
pub(super) struct PageBatch {
    // Those below `count` are there. The tail of a zspage can add a whole chain to what is just
    // not a batch; before each tail there is less than a batch.
    pages: [Option<OwnedPage>; BATCH + MAX_CHAIN_LIMIT],
    count: usize,
    // Given to the kernel, less taken from it.
    balance: isize,
}

impl PageBatch {
    fn add(&mut self, page: OwnedPage) {
        self.balance = self.balance.saturating_add(1);
        if let Some(slot) = self.pages.get_mut(self.count) {
            *slot = Some(page);
            self.count = self.count.saturating_add(1);
        }
    }

    // A page for a destination that lacks one: one that came free, or another of the kernel's.
    fn take(&mut self) -> Option<OwnedPage> {
        let last = self.count.checked_sub(1).and_then(|last| {
            self.count = last;
            self.pages.get_mut(last)?.take()
        });
        let page = last.or_else(|| OwnedPage::alloc(Gfp::for_compaction()).ok())?;
        self.balance = self.balance.saturating_sub(1);
        Some(page)
    }

    fn is_batch(&self) -> bool {
        self.count >= BATCH
    }

    // Gives them to the kernel. No lock is held.
    fn give_back(&mut self) {
        for page in self.pages.iter_mut().take(self.count) {
            *page = None;
        }
        self.count = 0;
    }

    fn unlocked(&mut self, guard: &mut ClassGuard<'_>) {
        guard.unlocked(|| {
            self.give_back();
            sched::cond_resched();
        });
    }
}

/// A compactor of a class, whose lock it has.
pub(super) struct Compactor<'c, 'f> {
    pool: &'c Pool,
    pub(super) guard: ClassGuard<'c>,
    freed: &'f mut PageBatch,
    moved: usize,
}

impl<'c, 'f> Compactor<'c, 'f> {
    /// There must be no page in `freed`.
    pub(super) fn new(pool: &'c Pool, class: &'c SizeClass, freed: &'f mut PageBatch) -> Self {
        freed.balance = 0;
        Self {
            pool,
            guard: class.lock(),
            freed,
            moved: 0,
        }
    }

    pub(super) fn class(&self) -> &'c SizeClass {
        self.guard.class()
    }

    /// Gives back what came free. What was done.
    pub(super) fn finish(self) -> Compacted {
        let Self {
            guard,
            freed,
            moved,
            ..
        } = self;
        drop(guard);
        freed.give_back();
        Compacted {
            pages: freed.balance.try_into().unwrap_or(0),
            objects: moved,
        }
    }

    /// Moves objects of `source` to `destination` until there is none to move, or no place, or no
    /// page left that could be freed. Returns how many.
    ///
    /// With `split`, the two may be the same zspage: objects in slots from there on move to slots in
    /// front of it.
    pub(super) fn move_objects(
        &mut self,
        source: &Zspage,
        split: Option<usize>,
        destination: &Zspage,
    ) -> usize {
        let Self { guard, freed, .. } = self;
        let class = guard.class();
        let objs = usize::from(class.shape().objs);
        let mut from = split.unwrap_or(0)..objs;
        let to = 0..split.unwrap_or(objs);
        let mut moved = 0usize;
        let mut busy = 0usize;
        // No slot of `from` at or behind it is in use, but what was left behind: the source is isolated,
        // so that nobody else allocates there, and `to` is elsewhere.
        let mut end = from.end;
        while !destination.is_full() {
            if freed.is_batch() {
                freed.unlocked(guard);
            }
            let came_free = freed.balance;
            let old = guard.detach_tail(source, &from, end, |page| freed.add(page));
            if freed.balance != came_free && class.freeable_pages() == 0 {
                break;
            }
            let Some(old) = old else {
                break;
            };
            end = old.index().wrapping_add(1);
            match step(guard, freed, &old, destination, &to) {
                Step::Moved => {
                    moved = moved.saturating_add(1);
                    if guard.is_contended() || sched::need_resched() {
                        freed.unlocked(guard);
                    }
                }
                Step::DestinationFull => break,
                Step::Busy => {
                    class.shared().events().objects_busy.fetch_add(1, Relaxed);
                    busy = busy.saturating_add(1);
                    if busy > BUSY_RETRIES {
                        // It is left behind.
                        from.end = old.index();
                        end = from.end;
                    }
                    freed.unlocked(guard);
                }
            }
        }
        self.moved = self.moved.saturating_add(moved);
        moved
    }

    /// Puts a zspage back on the list it belongs on now, or releases it.
    pub(super) fn putback_zspage(&mut self, isolated: IsolatedZspage<'_>) {
        let Self { guard, freed, .. } = self;
        if freed.is_batch() {
            freed.unlocked(guard);
        }
        if isolated.inuse() != 0 {
            guard.putback_zspage(isolated);
            return;
        }
        // What was freed while it was isolated may have kept its pages.
        let objs = usize::from(guard.class().shape().objs);
        guard.detach_tail(&isolated, &(0..objs), objs, |page| freed.add(page));
        self.pool.putback_empty_zspage(guard, isolated);
    }
}

// Moves an object to one of the slots `to`.
fn step(
    guard: &ClassGuard<'_>,
    freed: &mut PageBatch,
    old: &Object<'_>,
    destination: &Zspage,
    to: &Range<usize>,
) -> Step {
    let entries = guard.entries(guard.class().shared().table());
    let location = old.location();
    // If somebody wrote over the handle of the object, it can never be moved again.
    let entry = entries
        .entry_of(old.handle())
        .filter(|entry| entry.try_lock_to_move(location).is_ok());
    let Some(entry) = entry else {
        return Step::Busy;
    };
    lockdep::entry_acquired(Acquire::Tried);
    let new = loop {
        if let Some(new) = destination.take_object_in(guard, to) {
            break new;
        }
        // More than one page, if none of the slots is wholly on the first.
        let page = destination
            .absent_position(to)
            .and_then(|position| Some((position, freed.take()?)));
        let Some((position, page)) = page else {
            lockdep::entry_released();
            entry.moved_to(location);
            return Step::DestinationFull;
        };
        // There is none, as was just seen.
        let _ = guard.add_page(destination, page, position);
    };
    old.copy_to(&new);
    lockdep::entry_released();
    entry.moved_to(new.location());
    old.release();
    Step::Moved
}
