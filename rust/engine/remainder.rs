// SPDX-License-Identifier: GPL-2.0

//! The end of a compaction: which zspage holds what does not fill one, and on which pages.
//!
//! When a class is compacted, all its zspages are full but one. The objects in that one, the
//! remainder, need a certain number of pages. Of the zspage that is chosen, those on the best run
//! of so many pages stay where they are; of a zspage that will be full, all do; every other object
//! moves. One that is about to be full can be chosen, too: then another is full in its place, and
//! that costs what it has less.

#![forbid(unsafe_code)]

use core::ops::Range;

use super::class::{ClassGuard, CHOICE};
use super::compactor::{all_slots, Compactor, Route};
use super::hand::InHand;
use super::zspage::Zspage;

/// Among how many zspages, the emptiest, the choice is.
///
/// With six no pattern of the benchmark takes more than 0.1 % above the fewest moves, and none of
/// the host's tests with small pools 1 %; with four one of these took 4 %.
const FINALISTS: usize = 6;

/// The zspage for the remainder.
pub(super) struct Remainder<'c> {
    /// It is in the compactor's hand.
    hand: InHand<'c>,
    /// The slots that are wholly on the pages that stay.
    run: Range<usize>,
    /// Objects.
    count: usize,
}

impl<'c> Remainder<'c> {
    /// Chooses it, when all but a few of the zspages that will not be full are emptied. Before,
    /// says how many are `too_many`. `None` also if the objects would fill what they are in.
    pub(super) fn choose(
        guard: &ClassGuard<'c>,
        kept: &mut Option<InHand<'c>>,
        too_many: &mut usize,
    ) -> Option<Self> {
        let objs = usize::from(guard.class().shape().objs);
        let objects = guard.partial_objects();
        let full = objects.checked_div(objs)?;
        let partial = guard.partial_count().saturating_add(kept.is_some().into());
        let not_full = partial.saturating_sub(full);
        *too_many = not_full.saturating_sub(FINALISTS - 1);
        let rest = objects.checked_rem(objs).filter(|&rest| rest != 0)?;
        if *too_many != 0 {
            return None;
        }
        // The emptiest, as far as that is known without a look at all.
        let mut finalists = [None; FINALISTS];
        for zspage in guard.partial().take(CHOICE).chain(kept.as_deref()) {
            let this = (zspage, zspage.inuse() as usize);
            let inuse = |finalist: &Option<(_, usize)>| finalist.map_or(usize::MAX, |(_, n)| n);
            let fullest = finalists.iter_mut().max_by_key(|finalist| inuse(finalist));
            if let Some(place) = fullest.filter(|fullest| inuse(fullest) > this.1) {
                *place = Some(this);
            }
        }
        let finalists = || finalists.iter().flatten().copied();
        // The fullest that will not be full, unless it is in the place of a fuller one.
        let (_, next) = finalists().find(|&(_, next)| {
            let less = finalists().filter(|&(_, inuse)| inuse < next).count();
            let as_few = finalists().filter(|&(_, inuse)| inuse == next).count();
            (less.saturating_add(1)..=less.saturating_add(as_few)).contains(&not_full)
        })?;
        let mut best: Option<(usize, &Zspage, Range<usize>)> = None;
        for (zspage, inuse) in finalists() {
            // Never more than there are slots, so that this is not below zero.
            let worth = objs.saturating_sub(inuse.saturating_sub(next));
            let most = inuse.min(rest);
            let so_far = best.as_ref().map_or(0, |(best, ..)| *best);
            if worth.saturating_add(most) > so_far {
                let (stay, run) = best_run(zspage, rest, most)?;
                if worth.saturating_add(stay) > so_far {
                    best = Some((worth.saturating_add(stay), zspage, run));
                }
            }
        }
        let (_, zspage, run) = best?;
        let hand = if kept
            .as_deref()
            .is_some_and(|kept| core::ptr::eq(kept, zspage))
        {
            kept.take()?
        } else {
            guard.take(zspage)?
        };
        Some(Self {
            hand,
            run,
            count: rest,
        })
    }
}

impl<'c> Compactor<'c, '_> {
    /// Compacts the last few zspages: fills all but the one for the remainder, and leaves that with
    /// as many objects as are to be there, on its run.
    pub(super) fn leave(&mut self, remainder: Remainder<'c>) {
        let Remainder { hand, run, count } = remainder;
        let all = all_slots(&hand);
        while self.class().freeable_pages() > 0 {
            let inuse = hand.inuse() as usize;
            let moved = if inuse < count {
                let Some(source) = self.guard.isolate_source() else {
                    break;
                };
                let moved = self.move_objects(Route {
                    to: run.clone(),
                    most: count.saturating_sub(inuse),
                    ..Route::all(&source, &hand)
                });
                self.put_back(source);
                moved
            } else {
                let Some(destination) = self.guard.isolate_destination() else {
                    break;
                };
                // Of the others, only those are emptied that will not be full.
                let objects = self.guard.partial_objects().saturating_sub(count);
                let source = if self.guard.partial_count() >= objects.div_ceil(all.end.max(1)) {
                    self.guard.isolate_source()
                } else {
                    None
                };
                let moved = match source {
                    Some(source) => {
                        let moved = self.move_objects(Route::all(&source, &destination));
                        self.put_back(source);
                        moved
                    }
                    None => {
                        // What is outside the run goes first.
                        let mut moved = 0usize;
                        for from in [run.end..all.end, 0..run.start, run.clone()] {
                            let more = self.move_objects(Route {
                                from,
                                most: inuse.saturating_sub(count).saturating_sub(moved),
                                ..Route::all(&hand, &destination)
                            });
                            moved = moved.saturating_add(more);
                        }
                        moved
                    }
                };
                self.put_back(destination);
                moved
            };
            if moved == 0 {
                break;
            }
        }
        for from in [run.end..all.end, 0..run.start] {
            if self.class().freeable_pages() > 0 {
                self.move_objects(Route {
                    from,
                    to: run.clone(),
                    ..Route::all(&hand, &hand)
                });
            }
        }
        self.put_back(hand);
    }

    /// Moves objects of a zspage to its front, while that frees pages: what is left to do where no
    /// page can be had.
    pub(super) fn pack(&mut self, zspage: &Zspage) {
        let class = self.class();
        let all = all_slots(zspage);
        for position in (1..usize::from(class.shape().pages)).rev() {
            if class.freeable_pages() == 0 {
                return;
            }
            // A slot that goes on from the page before cannot stay, either.
            let behind = class.layout().touching(position).start;
            self.move_objects(Route {
                from: behind..all.end,
                to: 0..behind,
                ..Route::all(zspage, zspage)
            });
        }
    }
}

// The run of as few pages as `rest` objects need with the most objects on it, at most `most`: how
// many, and its slots.
fn best_run(zspage: &Zspage, rest: usize, most: usize) -> Option<(usize, Range<usize>)> {
    let class = zspage.class();
    let pages = class.layout().positions(&(0..rest)).end;
    let used = zspage.used_slots();
    let mut best: Option<(usize, Range<usize>)> = None;
    for end in pages..=class.shape().pages.into() {
        let run = class.layout().within(end.saturating_sub(pages)..end);
        if run.end.saturating_sub(run.start) < rest {
            continue;
        }
        let stay = used.count_closed(run.clone()).min(rest);
        if best.as_ref().map_or(true, |(best, _)| stay > *best) {
            best = Some((stay, run));
            if stay == most {
                break;
            }
        }
    }
    best
}
