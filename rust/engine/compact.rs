// SPDX-License-Identifier: GPL-2.0

//! Compaction: objects of the emptiest zspages move into the fullest, and pages come free.
//!
//! The choice of source and destination is that of the series "zsmalloc: fine-grained fullness and
//! new compaction algorithm" (Linux 6.4, `__zs_compact()`). What differs is what it holds: the
//! class lock for one object at a time if anybody waits for it, and the word lock of the one
//! object that is being copied. Source and destination stay in the compactor's hand meanwhile.

use super::class::{ClassGuard, SizeClass};
use super::handle_table::{Handle, HandleTable};
use super::pool::Pool;
use super::zspage::{InHand, Zspage};
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::sched;

/// How often a mapped object is waited for before the class is left alone.
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
    SourceEmpty,
    DestinationFull,
    // This object of the source is mapped.
    Busy(usize),
}

// Who pauses the compactor between two objects: whoever waits for the lock, or the scheduler.
fn breathe(guard: &mut ClassGuard<'_>) {
    if guard.is_contended() || sched::need_resched() {
        guard.unlocked(sched::cond_resched);
    }
}

// Moves the first object in use at or after `from`.
fn step(
    _guard: &ClassGuard<'_>,
    table: &HandleTable,
    source: &Zspage,
    destination: &Zspage,
    from: usize,
) -> Step {
    let Some(old) = source.next_used(from) else {
        return Step::SourceEmpty;
    };
    let word = Handle::from_object(old.head()).and_then(|handle| table.word(handle));
    let Some(word) = word.filter(|word| word.place() == Some(old.place())) else {
        // Somebody wrote over the head of the object: it can never be moved again.
        return Step::Busy(old.index());
    };
    let Some(new) = destination.take_object() else {
        return Step::DestinationFull;
    };
    if word.try_lock().is_err() {
        new.release();
        return Step::Busy(old.index());
    }
    old.copy_to(&new);
    word.unlock(new.place());
    old.release();
    Step::Moved
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
        let mut busy = 0;
        let mut guard = class.lock();
        let mut kept: Option<InHand> = None;
        while class.freeable_pages() > 0 && busy <= BUSY_RETRIES {
            let Some(destination) = kept.take().or_else(|| guard.isolate_destination()) else {
                break;
            };
            let Some(source) = guard.isolate_source() else {
                kept = Some(destination);
                break;
            };
            let mut from = 0;
            let full = loop {
                match step(&guard, self.table(), &source, &destination, from) {
                    Step::Moved => {
                        done.objects = done.objects.saturating_add(1);
                        breathe(&mut guard);
                    }
                    // Objects may have been freed, and so may what was skipped, meanwhile.
                    Step::SourceEmpty => break false,
                    Step::DestinationFull => break true,
                    Step::Busy(index) => {
                        self.events().objects_busy.fetch_add(1, Relaxed);
                        busy = busy.saturating_add(1);
                        from = index.saturating_add(1);
                        guard.unlocked(sched::cond_resched);
                    }
                }
            };
            (guard, done.pages) = self.put_back(guard, class, source, done.pages);
            if full || destination.is_full() {
                (guard, done.pages) = self.put_back(guard, class, destination, done.pages);
            } else {
                kept = Some(destination);
            }
        }
        if let Some(destination) = kept {
            (_, done.pages) = self.put_back(guard, class, destination, done.pages);
        }
        done
    }

    // Puts a zspage back on the list it belongs on now, or releases it.
    fn put_back<'a>(
        &self,
        guard: ClassGuard<'a>,
        class: &'a SizeClass,
        hand: InHand,
        freed: usize,
    ) -> (ClassGuard<'a>, usize) {
        if hand.inuse() != 0 {
            guard.put(hand);
            return (guard, freed);
        }
        let pages = self.release_empty(guard, hand);
        (class.lock(), freed.saturating_add(pages))
    }
}
