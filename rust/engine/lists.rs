// SPDX-License-Identifier: GPL-2.0

//! The fullness lists of a class.
//!
//! A zspage is on one list, or isolated: see [`super::isolated`]. All operations are methods of
//! [`ClassGuard`], as the class lock protects the lists.

use core::cell::Cell;

use super::class::ClassGuard;
use super::fullness::{Group, Listed, NR_GROUPS};
use super::isolated::IsolatedZspage;
use super::zspage::Zspage;
use crate::sys::list::List;
use crate::sys::prelude::*;
use crate::sys::slab::SlabBox;

/// How many zspages of a group compaction compares to find the emptiest or the fullest.
const CHOICE: usize = 16;

// See `FullnessLists::in_use`.
const MAYBE_SHIFT: u32 = 16;

/// The zspages of a class, by fullness group.
///
/// # Invariants
///
/// A zspage of the class is on the list that [`Zspage::listed`] names, and on no other.
#[pin_data]
pub(super) struct FullnessLists {
    #[pin]
    lists: [List<Zspage>; NR_GROUPS],
    // Bit n is set while list n has a zspage with a free slot. Such zspages are at the front of the
    // list. Bit n + 16 is set while list n has a zspage; it may stay set after the last one left.
    in_use: Cell<u32>,
    // The number of zspages on each list.
    counts: [Cell<u32>; NR_GROUPS],
}

impl FullnessLists {
    /// Creates empty lists.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            lists <- pin_init_array_from_fn(|_| List::new()),
            in_use: Cell::new(0),
            counts: [const { Cell::new(0) }; NR_GROUPS],
        })
    }

    /// Returns the number of zspages in each group.
    pub(super) fn counts(&self) -> [usize; NR_GROUPS] {
        core::array::from_fn(|i| self.counts.get(i).map_or(0, |count| count.get() as usize))
    }

    #[inline]
    fn list(&self, group: Group) -> &List<Zspage> {
        group.of(&self.lists)
    }

    // Takes a zspage off the list of `group`, the one that it names.
    #[inline]
    fn take(&self, zspage: &Zspage, group: Group) -> SlabBox<Zspage> {
        // SAFETY: By the type invariants, the zspage is on this list. `IsolatedZspage` frees it only
        // when no guard of the class lends a reference.
        unsafe { self.list(group).remove(zspage) }
    }

    // Updates the counts after a zspage went on a list.
    #[inline]
    fn insert_zspage(&self, group: Group, to: Listed) {
        let count = group.of(&self.counts);
        count.set(count.get().wrapping_add(1));
        let bits = (1 << MAYBE_SHIFT) | u32::from(to.has_free());
        self.in_use
            .set(self.in_use.get() | bits.wrapping_shl(group.number() as u32));
    }

    // Updates the counts after a zspage left a list.
    #[inline]
    fn remove_zspage(&self, group: Group) {
        let count = group.of(&self.counts);
        count.set(count.get().wrapping_sub(1));
        let front = self.list(group).front();
        if !front.is_some_and(|zspage| zspage.listed().has_free()) {
            self.in_use.set(self.in_use.get() & !group.bit());
        }
    }

    fn fullest_partial_group(&self) -> Option<Group> {
        loop {
            let maybe = (self.in_use.get() >> MAYBE_SHIFT) & !Group::FULL.bit();
            let group = Group::new(maybe.checked_ilog2()? as usize)?;
            if !self.list(group).is_empty() {
                return Some(group);
            }
            self.in_use
                .set(self.in_use.get() & !(group.bit() << MAYBE_SHIFT));
        }
    }

    // Returns the groups between empty and full that may have zspages, the emptiest first.
    fn partial_groups(&self) -> impl Iterator<Item = Group> {
        let ends = Group::FULL.bit() | Group::EMPTY.bit();
        let mut maybe = (self.in_use.get() >> MAYBE_SHIFT) & !ends;
        core::iter::from_fn(move || {
            let first = maybe.trailing_zeros() as usize;
            maybe &= maybe.wrapping_sub(1);
            Group::new(first)
        })
    }
}

impl<'c> ClassGuard<'c> {
    /// Puts an isolated zspage back on the list of its fullness group.
    pub fn putback_zspage(&self, isolated: IsolatedZspage<'_>) {
        // A zspage of another class stays isolated. Its `Drop` warns.
        if !isolated.is_of(self.class()) {
            return;
        }
        let to = self.get_fullness_group(&isolated);
        let Some(group) = to.group() else { return };
        isolated.set_listed(to);
        // `fullest_free` looks only at the front of a list.
        isolated.put_on(self.lists().list(group), to.has_free());
        self.lists().insert_zspage(group, to);
    }

    /// Isolates a zspage of this class. Returns `None` if it is isolated already.
    pub fn isolate_zspage(&self, zspage: &Zspage) -> Option<IsolatedZspage<'c>> {
        if !zspage.is_of(self.class()) {
            return None;
        }
        let group = zspage.listed().group()?;
        let zspage = self.lists().take(zspage, group);
        zspage.set_listed(Listed::NOWHERE);
        self.lists().remove_zspage(group);
        Some(IsolatedZspage::new(self.class(), zspage))
    }

    // Returns the list that the zspage belongs on.
    #[inline]
    fn get_fullness_group(&self, zspage: &Zspage) -> Listed {
        let counts = zspage.counts();
        Listed::on(self.class().group(counts.inuse()), counts.free() != 0)
    }

    /// Isolates the first zspage of a group.
    pub fn isolate_first(&self, group: Group) -> Option<IsolatedZspage<'c>> {
        self.isolate_zspage(self.lists().list(group).front()?)
    }

    /// Isolates a zspage without pages on the `ZS_INUSE_RATIO_0` list.
    pub(super) fn isolate_without_pages(&self) -> Option<IsolatedZspage<'c>> {
        let mut empty = self.lists().list(Group::EMPTY).iter();
        self.isolate_zspage(empty.find(|zspage| zspage.page_count() == 0)?)
    }

    /// Returns whether the `ZS_INUSE_RATIO_0` list has a zspage.
    pub(super) fn has_empty_zspages(&self) -> bool {
        !self.lists().list(Group::EMPTY).is_empty()
    }

    /// Moves a changed zspage to the list it belongs on. Does nothing if it is isolated.
    // A call would cost `free` 1.5 % of its instructions.
    #[inline(always)]
    pub fn fix_fullness_group(&self, zspage: &Zspage) {
        let (from, to) = (zspage.listed(), self.get_fullness_group(zspage));
        if from != to {
            self.move_zspage(zspage, from, to);
        }
    }

    // `fix_fullness_group` is its only caller.
    #[inline(always)]
    fn move_zspage(&self, zspage: &Zspage, from: Listed, to: Listed) {
        // An isolated zspage is on no list.
        let (Some(from), Some(group)) = (from.group(), to.group()) else {
            return;
        };
        if !zspage.is_of(self.class()) {
            return;
        }
        let lists = self.lists();
        let taken = lists.take(zspage, from);
        lists.list(group).push(taken, to.has_free());
        zspage.set_listed(to);
        lists.remove_zspage(from);
        lists.insert_zspage(group, to);
    }

    /// Returns the fullest zspage that has a free slot, from `ZS_INUSE_RATIO_99` down to 0.
    #[inline]
    pub fn fullest_free(&self) -> Option<&Zspage> {
        let with_free = self.lists().in_use.get() as u16;
        self.lists()
            .list(Group::new(with_free.checked_ilog2()? as usize)?)
            .front()
    }

    /// Returns a zspage of the fullest group below `ZS_INUSE_RATIO_100`.
    pub(super) fn fullest_partial(&self) -> Option<&Zspage> {
        let lists = self.lists();
        lists.list(lists.fullest_partial_group()?).front()
    }

    // Returns the zspages of a group that compaction chooses from. If a group stands for a single
    // count, they are all alike, and one is enough.
    fn choice(&self, group: Group) -> impl Iterator<Item = &Zspage> {
        let several = usize::from(self.class().shape().objs) > NR_GROUPS - 2;
        self.lists()
            .list(group)
            .iter()
            .take(if several { CHOICE } else { 1 })
    }

    /// Isolates the fullest zspage that can take more objects. It may lack pages for them.
    pub fn isolate_dst_zspage(&self) -> Option<IsolatedZspage<'c>> {
        let group = self.lists().fullest_partial_group()?;
        if group == Group::EMPTY {
            return None;
        }
        self.isolate_zspage(self.choice(group).max_by_key(|zspage| zspage.inuse())?)
    }

    /// Isolates the fullest zspage that can take an object without another page.
    pub fn isolate_free_dst_zspage(&self) -> Option<IsolatedZspage<'c>> {
        self.isolate_zspage(self.fullest_free()?)
    }

    /// Isolates the emptiest zspage that has objects.
    pub fn isolate_src_zspage(&self) -> Option<IsolatedZspage<'c>> {
        self.lists().partial_groups().find_map(|group| {
            self.isolate_zspage(self.choice(group).min_by_key(|zspage| zspage.inuse())?)
        })
    }

    /// Makes the first zspage of a group empty, so that its pages can be freed. Its objects are
    /// lost, and their handles must not be used any more. Returns false if the group has no zspage.
    pub(super) fn forget_objects(&self, group: Group) -> bool {
        let Some(isolated) = self.isolate_first(group) else {
            return false;
        };
        isolated.forget_objects();
        self.putback_zspage(isolated);
        true
    }
}
