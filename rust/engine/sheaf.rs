// SPDX-License-Identifier: GPL-2.0

//! The sheaf of a class: objects that were freed and are kept for the next `malloc`.
//!
//! A sheaf is an array of free objects, last in first out. The name is from SLUB (Linux 6.18), which
//! has one per CPU. Here a class has one, under the class lock.
//!
//! The slot of an object in the sheaf stays allocated in its zspage, and the entry keeps the
//! location. So `free` and `malloc` of such an object touch neither a page nor a list nor a bitmap.
//! To everybody else the object is free: its handle is refused, and it counts as free.
//!
//! An object leaves the sheaf by `malloc`, or is *flushed*: its slot and its entry become free, and
//! pages without an object are released. A full sheaf flushes its older half, or all if `malloc` took
//! nothing since the last time. The objects of one zspage that were freed in a row are flushed
//! together. All is flushed, too, if a page was just added for the object that is freed.

use core::cell::Cell;

use super::class::ClassGuard;
use super::handle_table::{Handle, HandleEntries, HandleTable};
use super::locked_entry::{LockedEntry, SheafEntry};
use super::object::Object;
use super::page_batch::PageBatch;
use super::zspage::Zspage;

/// The most objects that a sheaf keeps.
const CAPACITY: usize = 13;

/// A sheaf holds at most one in `SHARE` of the slots of its class. Models have few slots.
const SHARE: usize = if cfg!(loom) { 2 } else { 8 };

/// The indices of the entries of objects that were freed.
///
/// # Invariants
///
/// The first `len` elements name entries in the sheaf of the class. Their objects are of the class.
/// The slots of these objects are allocated.
pub(super) struct Sheaf {
    objects: [Cell<u32>; CAPACITY],
    len: Cell<u8>,
    // The length above which the sheaf is flushed; below `CAPACITY`.
    limit: Cell<u8>,
    // Whether `malloc` took an object since the last flush.
    reused: Cell<bool>,
    // While this is set, nothing is kept.
    closed: Cell<bool>,
    // The entry of the object that a page was added for, until the next flush.
    newest: Cell<u32>,
}

impl Sheaf {
    /// Creates an empty sheaf that keeps nothing.
    pub(super) const fn new() -> Self {
        Self {
            objects: [const { Cell::new(0) }; CAPACITY],
            len: Cell::new(0),
            limit: Cell::new(0),
            reused: Cell::new(false),
            closed: Cell::new(false),
            newest: Cell::new(u32::MAX),
        }
    }

    /// Sets the limit for a class with `slots` slots.
    pub(super) fn set_slots(&self, slots: usize) {
        let limit = if self.closed.get() { 0 } else { slots / SHARE };
        self.limit.set(limit.min(CAPACITY - 1) as u8);
    }

    /// Returns the number of objects.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len.get().into()
    }

    // `len` is at most `CAPACITY`.
    #[inline]
    fn set_len(&self, len: usize) {
        self.len.set(len as u8);
    }

    #[inline]
    fn limit(&self) -> usize {
        self.limit.get().into()
    }

    /// Makes the next `free` flush the sheaf if it is of `handle`, for which a page was added. zram
    /// frees an object at once if its page exceeds `mem_limit`, and expects the page to go.
    pub(super) fn page_added_for(&self, handle: Handle) {
        self.newest.set(handle.in_object());
        self.limit.set(0);
    }

    // Returns object `n`, the oldest first.
    fn entry<'a>(&'a self, entries: HandleEntries<'a>, n: usize) -> Option<(u32, SheafEntry<'a>)> {
        if n >= self.len() {
            return None;
        }
        let index = self.objects.get(n)?.get();
        // SAFETY: By the type invariants, the entry is in the sheaf of the class. A reference to the
        // sheaf is lent by the guard of that class.
        let entry = unsafe { SheafEntry::new(entries.entry_of(index)?) }?;
        Some((index, entry))
    }

    // Removes the `count` oldest objects.
    fn remove_oldest(&self, count: usize) {
        let left = self.len().saturating_sub(count);
        for n in 0..left {
            let kept = self.objects.get(n.wrapping_add(count));
            if let (Some(to), Some(from)) = (self.objects.get(n), kept) {
                to.set(from.get());
            }
        }
        self.set_len(left);
    }
}

impl<'c> ClassGuard<'c> {
    /// Frees the object of a locked entry, `handle`, to the sheaf. Returns whether the sheaf has to be
    /// flushed now. Returns the entry, still locked, if it is of another class.
    #[inline]
    pub(super) fn free<'e>(
        &self,
        entries: HandleEntries<'_>,
        handle: Handle,
        locked: LockedEntry<'e>,
    ) -> Result<bool, LockedEntry<'e>> {
        let (class, sheaf) = (self.class(), self.sheaf());
        let len = sheaf.len();
        let slot = match sheaf.objects.get(len) {
            Some(slot) if locked.page().class() == class.shape().index => slot,
            _ => return Err(locked),
        };
        // INVARIANT: The entry was locked, so it has an object, whose slot is allocated. It is of this
        // class, as its page is.
        slot.set(handle.in_object());
        locked.into_entry().to_sheaf();
        let len = len.wrapping_add(1);
        sheaf.set_len(len);
        self.object_freed();
        Ok(len > sheaf.limit() || self.keeps_none(entries, handle))
    }

    // Returns whether no object may stay in the sheaf, now that the one of `handle` is freed: the class
    // has no other, or its entry must not be used again at once.
    #[inline]
    fn keeps_none(&self, entries: HandleEntries<'_>, handle: Handle) -> bool {
        self.is_empty() || entries.next_generation(handle).is_none()
    }

    /// Allocates the object that was freed last, with a new handle, if the sheaf has one.
    #[inline]
    pub(super) fn reuse(&self, table: &HandleTable) -> Option<Handle> {
        let sheaf = self.sheaf();
        let last = sheaf.len().checked_sub(1)?;
        let index = sheaf.objects.get(last)?.get();
        let generation = self.entries(table).entry_of(index)?.reuse()?;
        sheaf.set_len(last);
        sheaf.reused.set(true);
        self.object_allocated();
        Some(Handle::new(index, generation))
    }

    /// Returns how many objects to flush after [`ClassGuard::free`] demanded it for `handle`.
    pub(super) fn flush_count(&self, entries: HandleEntries<'_>, handle: Handle) -> usize {
        let sheaf = self.sheaf();
        let newest = sheaf.newest.replace(u32::MAX);
        sheaf.set_slots(self.class().objs_allocated());
        if newest == handle.in_object() || self.keeps_none(entries, handle) {
            return sheaf.len();
        }
        if sheaf.len() <= sheaf.limit() {
            // It was of another object than the newest.
            return 0;
        }
        if sheaf.reused.replace(false) {
            sheaf.len().saturating_sub(sheaf.limit() / 2)
        } else {
            sheaf.len()
        }
    }

    /// Closes the sheaf: it keeps nothing any more. The caller flushes it.
    pub(super) fn close_sheaf(&self) {
        self.sheaf().closed.set(true);
        self.sheaf().set_slots(0);
    }

    /// Opens the sheaf again.
    pub(super) fn open_sheaf(&self) {
        self.sheaf().closed.set(false);
        self.sheaf().set_slots(self.class().objs_allocated());
    }

    /// Flushes the `count` oldest objects, and adds pages without an object to `pages`. Passes each
    /// handle to `refuse` whose copy after the object was overwritten: that object is not freed.
    /// Returns whether a zspage was emptied.
    pub(super) fn flush(
        &self,
        table: &HandleTable,
        count: usize,
        pages: &mut PageBatch<'_>,
        mut refuse: impl FnMut(Handle),
    ) -> bool {
        let entries = self.entries(table);
        let mut emptied = false;
        // The zspage of the last objects, and the positions of its pages that may be unused.
        let mut last: Option<(&Zspage, u32)> = None;
        for n in 0..count {
            let Some((index, entry)) = self.sheaf().entry(entries, n) else {
                continue;
            };
            let Some(object) = Object::of_entry(self, &entry) else {
                continue;
            };
            let handle = Handle::new(index, entry.generation());
            if object.handle() != index {
                entry.restore();
                self.object_allocated();
                refuse(handle);
                continue;
            }
            let zspage = object.zspage();
            let mut unused = match last {
                Some((last, unused)) if core::ptr::eq(last, zspage) => unused,
                Some((last, unused)) => {
                    emptied |= self.release_pages(last, unused, pages);
                    0
                }
                None => 0,
            };
            unused |= object.release();
            self.handles()
                .push_retired(entries, handle, entry.into_entry());
            last = Some((zspage, unused));
        }
        if let Some((last, unused)) = last {
            emptied |= self.release_pages(last, unused, pages);
        }
        self.sheaf().remove_oldest(count);
        emptied
    }

    // Detaches those pages of a zspage that have no object, of those that `unused` has the positions
    // of. Moves the zspage to the list it belongs on. Returns whether it has no object.
    // A call would cost `free` 3 % of its instructions.
    #[inline(always)]
    fn release_pages(&self, zspage: &Zspage, mut unused: u32, pages: &mut PageBatch<'_>) -> bool {
        let (mut gone, mut slots) = (0usize, 0usize);
        while unused != 0 {
            let position = unused.trailing_zeros();
            unused &= unused.wrapping_sub(1);
            if let Some((page, free_slots)) = zspage.detach_unused(self, position) {
                gone = gone.wrapping_add(1);
                slots = slots.wrapping_add(free_slots);
                pages.add(self, page);
            }
        }
        if gone != 0 {
            self.pages_gone(gone, slots);
        }
        self.fix_fullness_group(zspage);
        zspage.inuse() == 0
    }
}
