// SPDX-License-Identifier: GPL-2.0

//! The compactor of one class: moves objects and frees the pages that become unused.

#![forbid(unsafe_code)]

use super::class::{ClassGuard, SizeClass};
use super::isolated::IsolatedZspage;
use super::object::Object;
use super::page_batch::PageBatch;
use super::pool::Pool;
use super::zspage::Zspage;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::lockdep;
use crate::sys::page::{DetachedPage, OwnedPage, PAGE_SIZE};
use crate::sys::prelude::*;
use crate::sys::sched;

/// How often one call of `move_objects` drops the lock and retries a busy object. After that it
/// leaves busy objects behind.
const BUSY_RETRIES: usize = 32;

enum Step {
    Moved,
    DestinationFull,
    // The object is mapped or being freed, or its handle was overwritten.
    Busy,
}

/// How many detached pages are collected before the class lock is dropped to free them.
const BATCH: usize = 8;

// Pages on their way from sources to destinations, or to the page allocator.
struct Freed<'c> {
    pages: PageBatch<'c>,
    // Pages detached from sources minus pages added to destinations.
    balance: isize,
    // The balance at which no page of the class can be freed, but not more than `most`. Valid while
    // the lock is held.
    goal: isize,
    most: isize,
    // Pages detached, and the free slots that went with them, that the class still counts.
    uncounted: (usize, usize),
}

impl<'c> Freed<'c> {
    fn new(class: &'c SizeClass, most: usize) -> Self {
        let mut freed = Self {
            pages: PageBatch::new(class),
            balance: 0,
            goal: 0,
            most: most.try_into().unwrap_or(isize::MAX),
            uncounted: (0, 0),
        };
        freed.set_goal(class);
        freed
    }

    fn set_goal(&mut self, class: &SizeClass) {
        let freeable = class.freeable_pages().try_into().unwrap_or(isize::MAX);
        self.goal = self.balance.saturating_add(freeable).min(self.most);
    }

    fn is_done(&self) -> bool {
        self.balance >= self.goal
    }

    fn add(&mut self, guard: &ClassGuard<'_>, page: DetachedPage, free_slots: usize) {
        self.balance = self.balance.wrapping_add(1);
        let (pages, slots) = self.uncounted;
        self.uncounted = (pages.wrapping_add(1), slots.wrapping_add(free_slots));
        self.pages.add(guard, page);
    }

    // Uncounts the detached pages, once for all that were detached since the lock was taken.
    fn uncount(&mut self, guard: &ClassGuard<'_>) {
        let (pages, slots) = core::mem::take(&mut self.uncounted);
        guard.pages_gone(pages, slots);
    }

    // Returns a page for a destination: a detached one, or a new one.
    fn take(&mut self) -> Option<DetachedPage> {
        let page = self.pages.take().or_else(|| {
            let new = OwnedPage::alloc(Gfp::for_compaction()).ok()?;
            Some(new.into())
        })?;
        self.balance = self.balance.wrapping_sub(1);
        Some(page)
    }

    fn is_batch(&self) -> bool {
        self.pages.len() >= BATCH
    }

    fn unlocked(&mut self, guard: &mut ClassGuard<'_>) {
        self.uncount(guard);
        self.pages.free_unlocked(guard, sched::cond_resched);
        self.set_goal(guard.class());
    }
}

/// The result of a compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Pages freed.
    pub pages: usize,
    /// Objects moved.
    pub objects: usize,
}

/// A compactor that holds the lock of its class.
pub(super) struct Compactor<'c> {
    pool: &'c Pool,
    pub(super) guard: ClassGuard<'c>,
    freed: Freed<'c>,
    moved: usize,
}

impl<'c> Compactor<'c> {
    /// Takes the class lock, to free `most` pages.
    pub(super) fn new(pool: &'c Pool, class: &'c SizeClass, most: usize) -> Self {
        let guard = class.lock();
        Self {
            pool,
            guard,
            freed: Freed::new(class, most),
            moved: 0,
        }
    }

    pub(super) fn class(&self) -> &'c SizeClass {
        self.guard.class()
    }

    /// Returns whether no page of the class can be freed, or as many were as were asked for.
    pub(super) fn is_done(&self) -> bool {
        self.freed.is_done()
    }

    /// Opens the sheaf, drops the class lock, and frees the detached pages and the handles that the
    /// class keeps. Returns what the compactor did.
    pub(super) fn finish(self) -> Compacted {
        let Self {
            pool,
            guard,
            mut freed,
            moved,
        } = self;
        freed.uncount(&guard);
        guard.open_sheaf();
        let handles = guard.take_handles(pool.table());
        freed.pages.unlock_and_free(guard, None);
        pool.give_back_handles(handles);
        Compacted {
            pages: freed.balance.try_into().unwrap_or(0),
            objects: moved,
        }
    }

    /// Moves objects from `source` to `destination` until one has none left, the other is full, or
    /// no page of the class can be freed. Returns how many objects it moved.
    ///
    /// With `split` both may be one zspage: objects from slot `split` on move to slots before it.
    ///
    /// Drops and retakes the class lock. Both zspages must be isolated.
    pub(super) fn move_objects(
        &mut self,
        source: &Zspage,
        split: Option<usize>,
        destination: &Zspage,
    ) -> usize {
        let Self { guard, freed, .. } = self;
        let class = guard.class();
        let objs = usize::from(class.shape().objs);
        // Slots after `from` have no objects except those left behind. Nobody else allocates
        // in an isolated source, and slots before `split` are not in `from`.
        let mut from = split.unwrap_or(0)..objs;
        let to_end = split.unwrap_or(objs);
        // Pages from the last to the first that has no slot before `from`.
        let first = class.layout().offset(from.start).div_ceil(PAGE_SIZE);
        let mut pages = first as u32..class.shape().pages.into();
        let mut moved = 0usize;
        let mut busy = 0usize;
        loop {
            let Some(position) = source.last_position(pages.clone()) else {
                break;
            };
            let Some(last) = source.last_used_on(position, &from) else {
                pages.end = position;
                if let Some((page, free_slots)) = source.detach_unused(guard, position) {
                    freed.add(guard, page, free_slots);
                    if freed.is_done() {
                        break;
                    }
                    if freed.is_batch() {
                        freed.unlocked(guard);
                    }
                }
                continue;
            };
            match step(guard, freed, source, last, destination, to_end) {
                Step::Moved => {
                    from.end = last;
                    moved = moved.wrapping_add(1);
                    if destination.is_full() {
                        break;
                    }
                    if guard.is_contended() || sched::need_resched() {
                        freed.unlocked(guard);
                    }
                }
                Step::DestinationFull => break,
                Step::Busy => {
                    class.shared().events().objects_busy.fetch_add(1, Relaxed);
                    busy = busy.saturating_add(1);
                    if busy > BUSY_RETRIES {
                        // Leave it behind.
                        from.end = last;
                    }
                    freed.unlocked(guard);
                }
            }
        }
        self.moved = self.moved.saturating_add(moved);
        moved
    }

    /// Puts an isolated zspage back, or frees it if it has no objects.
    pub(super) fn putback_zspage(&mut self, isolated: IsolatedZspage<'_>) {
        let Self { guard, freed, .. } = self;
        if freed.is_batch() {
            freed.unlocked(guard);
        }
        if isolated.inuse() != 0 {
            guard.putback_zspage(isolated);
            return;
        }
        // A page may have been locked when its last object was freed.
        isolated.detach_all(guard, |page, free_slots| {
            freed.add(guard, page, free_slots);
        });
        self.pool.putback_empty_zspage(guard, isolated);
    }
}

// Moves the object in slot `last` to a free slot below `to_end`, adding pages as needed.
fn step(
    guard: &ClassGuard<'_>,
    freed: &mut Freed<'_>,
    source: &Zspage,
    last: usize,
    destination: &Zspage,
    to_end: usize,
) -> Step {
    let Some(old) = Object::at(guard, source, last) else {
        return Step::Busy;
    };
    let entries = guard.entries(guard.class().shared().table());
    let location = old.location();
    // An object whose handle was overwritten can never be moved.
    let entry = entries
        .entry_of(old.handle())
        .filter(|entry| entry.try_lock_to_move(location).is_ok());
    let Some(entry) = entry else {
        return Step::Busy;
    };
    lockdep::entry_acquired();
    let new = loop {
        if let Some(new) = Object::take_first_below(guard, destination, to_end) {
            break new;
        }
        // One page is not enough if every slot below `to_end` spans pages.
        let page = destination
            .absent_position(to_end)
            .and_then(|position| Some((position, freed.take()?)));
        let Some((position, page)) = page else {
            lockdep::entry_released();
            entry.moved_to(location);
            return Step::DestinationFull;
        };
        // `absent_position` returned a position without a page.
        let _ = guard.add_page(destination, page, position);
    };
    old.copy_to(&new);
    lockdep::entry_released();
    entry.moved_to(new.location());
    old.release();
    Step::Moved
}
