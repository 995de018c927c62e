// SPDX-License-Identifier: GPL-2.0

//! Compaction: objects of the emptiest zspages move into the fullest, and pages come free.
//!
//! The choice of source and destination is that of the series "zsmalloc: fine-grained fullness and
//! new compaction algorithm" (Linux 6.4, `__zs_compact()`). Three things differ:
//!
//! - What it holds: the class lock for one object at a time if anybody waits for it, and the word
//!   lock of the one object that is being copied. Source and destination stay in the compactor's
//!   hand meanwhile.
//! - It goes on until no *page* can be freed, where C stops when no *zspage* can: what is left of
//!   a class in the end is full zspages and the front of one more. Therefore objects leave a
//!   source from its back.
//! - A destination may lack pages. It gets those that its sources no longer need.

#![forbid(unsafe_code)]

use super::class::{ClassGuard, SizeClass};
use super::geometry::MAX_CHAIN_LIMIT;
use super::hand::{InHand, NewPage};
use super::handle_table::Handle;
use super::object::Object;
use super::pool::Pool;
use super::zspage::Zspage;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::prelude::*;
use crate::sys::sched;

/// How often mapped objects of a source are waited for; then they are left behind.
const BUSY_RETRIES: usize = 32;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Pages freed.
    pub pages: usize,
    /// Objects moved.
    pub objects: usize,
}

enum Step {
    Moved,
    DestinationFull,
    // The object is mapped, or its head is overwritten.
    Busy,
}

/// How many pages that came free are collected before the class lock is let go to give them back.
const BATCH: usize = 8;

/// Pages that came free while the class lock is held.
///
/// They are locked. Giving them to the kernel can take long, so the class lock is let go for that.
#[derive(Default)]
struct Freed {
    // Those below `count` are there. The tail of a zspage can add a whole chain to a batch.
    pages: [Option<NewPage>; BATCH + MAX_CHAIN_LIMIT],
    count: usize,
    // Given to the kernel, less taken from it.
    balance: isize,
}

impl Freed {
    fn add(&mut self, page: NewPage) {
        self.balance = self.balance.saturating_add(1);
        if let Some(place) = self.pages.get_mut(self.count) {
            *place = Some(page);
            self.count = self.count.saturating_add(1);
        }
    }

    // A page for a destination that lacks one: one that came free, or one of the kernel's.
    fn take_for(&mut self, destination: &Zspage) -> Option<NewPage> {
        destination.next_position()?;
        let last = self.count.checked_sub(1).and_then(|last| {
            self.count = last;
            self.pages.get_mut(last)?.take()
        });
        let page = last.or_else(|| NewPage::alloc(Gfp::for_compaction()).ok())?;
        self.balance = self.balance.saturating_sub(1);
        Some(page)
    }

    fn is_batch(&self) -> bool {
        self.count >= BATCH
    }

    fn unlocked(&mut self, guard: &mut ClassGuard<'_>) {
        guard.unlocked(|| {
            for page in self.pages.iter_mut().take(self.count) {
                *page = None;
            }
            self.count = 0;
            sched::cond_resched();
        });
    }
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
        let mut done = Compacted::default();
        if class.freeable_pages() == 0 {
            return done;
        }
        // What is empty was kept, and is in nobody's way.
        done.pages = self.release_empty(class);
        let mut freed = Freed::default();
        let mut guard = class.lock();
        let mut kept: Option<InHand<'_>> = None;
        let mut no_page = false;
        while class.freeable_pages() > 0 {
            let destination = match kept.take() {
                Some(kept) => Some(kept),
                None if no_page => guard.isolate_open_destination(),
                None => guard.isolate_destination(),
            };
            let Some(destination) = destination else {
                break;
            };
            let Some(source) = guard.isolate_source() else {
                // One zspage is left that is not full: its objects move to its own front.
                let moved = self.move_all(&mut guard, &mut freed, &destination, &destination);
                done.objects = done.objects.saturating_add(moved);
                kept = Some(destination);
                break;
            };
            // What has an open slot may be the emptier one: the two would take turns for ever.
            if no_page && source.inuse() > destination.inuse() {
                self.put_back(&mut guard, &mut freed, source);
                kept = Some(destination);
                break;
            }
            let moved = self.move_all(&mut guard, &mut freed, &source, &destination);
            done.objects = done.objects.saturating_add(moved);
            let source_empty = source.inuse() == 0;
            self.put_back(&mut guard, &mut freed, source);
            if source_empty && !destination.is_full() {
                kept = Some(destination);
                continue;
            }
            let destination_full = destination.is_full();
            self.put_back(&mut guard, &mut freed, destination);
            if !source_empty && !destination_full && moved == 0 {
                // An object is mapped, or the destination needs a page and there is none: then
                // those that need none may do.
                if no_page {
                    break;
                }
                no_page = true;
            }
        }
        if let Some(destination) = kept {
            self.put_back(&mut guard, &mut freed, destination);
        }
        drop(guard);
        let balance = freed.balance.try_into().unwrap_or(0);
        done.pages = done.pages.saturating_add(balance);
        done
    }

    // Moves objects until the source has none to move, or the destination has no place. How many.
    fn move_all(
        &self,
        guard: &mut ClassGuard<'_>,
        freed: &mut Freed,
        source: &Zspage,
        destination: &Zspage,
    ) -> usize {
        let mut moved = 0;
        let mut busy = 0;
        // Below which index: an object that stays mapped is left behind.
        let mut end = usize::from(guard.class().shape().objs);
        loop {
            let came_free = freed.balance;
            let old = guard.detach_tail(source, end, |page| freed.add(page));
            if freed.balance != came_free && guard.class().freeable_pages() == 0 {
                return moved;
            }
            let Some(old) = old else {
                return moved;
            };
            match self.step(guard, freed, &old, destination) {
                Step::Moved => {
                    moved = usize::saturating_add(moved, 1);
                    if freed.is_batch() || guard.is_contended() || sched::need_resched() {
                        freed.unlocked(guard);
                    }
                }
                Step::DestinationFull => return moved,
                Step::Busy => {
                    self.events().objects_busy.fetch_add(1, Relaxed);
                    busy = usize::saturating_add(busy, 1);
                    if busy > BUSY_RETRIES {
                        end = old.index();
                    }
                    freed.unlocked(guard);
                }
            }
        }
    }

    // Moves an object.
    fn step(
        &self,
        guard: &ClassGuard<'_>,
        freed: &mut Freed,
        old: &Object<'_>,
        destination: &Zspage,
    ) -> Step {
        let same = core::ptr::eq(old.zspage(), destination);
        let word = Handle::from_object(old.head()).and_then(|handle| self.table().word(handle));
        // If somebody wrote over the head of the object, it can never be moved again.
        let Some(word) = word.filter(|word| word.place() == Some(old.place())) else {
            return Step::Busy;
        };
        if word.try_lock().is_err() {
            return Step::Busy;
        }
        let is_open = if same {
            destination.is_open_before(old.index())
        } else {
            destination.open_slots() != 0
        };
        // In front of the object, if it stays in its zspage.
        if !is_open && (!same || destination.next_position() < Some(old.position())) {
            if let Some(page) = freed.take_for(destination) {
                // It has a place for the page, or `take_for` had not taken one.
                let _ = guard.add_page(destination, page);
            }
        }
        if same && !destination.is_open_before(old.index()) {
            word.unlock(old.place());
            return Step::DestinationFull;
        }
        let Some(new) = destination.take_object(guard) else {
            word.unlock(old.place());
            return Step::DestinationFull;
        };
        old.copy_to(&new);
        word.unlock(new.place());
        old.release();
        Step::Moved
    }

    // Puts a zspage back on the list it belongs on now, or releases it.
    fn put_back(&self, guard: &mut ClassGuard<'_>, freed: &mut Freed, hand: InHand<'_>) {
        if freed.is_batch() {
            freed.unlocked(guard);
        }
        if hand.inuse() == 0 {
            // What was freed while the compactor had it in hand, and may have kept its pages.
            guard.detach_tail(&hand, usize::MAX, |page| freed.add(page));
        }
        if hand.inuse() != 0 {
            guard.put(hand);
        } else {
            self.settle_empty(guard, hand);
        }
    }
}
