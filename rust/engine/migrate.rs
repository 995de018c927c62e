// SPDX-License-Identifier: GPL-2.0

//! Page migration: the kernel moves a page of ours somewhere else.
//!
//! The kernel holds the locks of both pages, so the zspage cannot be released. Under the class
//! lock every object that touches the page gets its entry locked, or the migration is refused;
//! then nobody has any of the page mapped, and nobody can find it until the entries say where it is
//! now.

use core::ops::Range;

use super::class::ClassGuard;
use super::geometry::max_objs_per_zspage;
use super::handle_entry::Refused;
use super::handle_table::HandleTable;
use super::object::Object;
use super::zspage::Zspage;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::lockdep::{self, Acquire};
use crate::sys::page::{ZsPage, PAGE_SIZE};
use crate::sys::prelude::*;

fn used<'a>(
    guard: &'a ClassGuard<'_>,
    zspage: &'a Zspage,
    range: Range<usize>,
) -> impl Iterator<Item = Object<'a>> {
    range.filter_map(move |index| zspage.used_object(guard, index))
}

// Indices of the handles whose entries are locked, by slot. What is behind an object is read once:
// it may be overwritten at any time.
struct LockedEntries([u32; max_objs_per_zspage(PAGE_SIZE)]);

impl LockedEntries {
    // Locks the entries of all objects in `range`, or none. `EINVAL` if the handle of one does not
    // lead back to it.
    fn lock(
        guard: &ClassGuard<'_>,
        table: &HandleTable,
        zspage: &Zspage,
        range: Range<usize>,
    ) -> Result<Self> {
        let mut locked = Self([0; max_objs_per_zspage(PAGE_SIZE)]);
        // Once for all of them: lockdep counts at most 48 locks.
        lockdep::entry_acquired(Acquire::Tried);
        for object in used(guard, zspage, range.clone()) {
            let handle = object.handle();
            let entry = guard.entries(table).entry_of(handle);
            let refused = match entry.map(|entry| entry.try_lock_to_move(object.location())) {
                Some(Ok(())) => {
                    if let Some(slot) = locked.0.get_mut(object.index()) {
                        *slot = handle;
                    }
                    continue;
                }
                Some(Err(Refused::Busy)) => EBUSY,
                _ => EINVAL,
            };
            locked.unlock(guard, table, zspage, range.start..object.index());
            return Err(refused);
        }
        Ok(locked)
    }

    // Ends that: the objects in `range`, of those that were locked, are where they are now.
    fn unlock(
        &self,
        guard: &ClassGuard<'_>,
        table: &HandleTable,
        zspage: &Zspage,
        range: Range<usize>,
    ) {
        lockdep::entry_released();
        for object in used(guard, zspage, range) {
            let handle = self.0.get(object.index());
            if let Some(entry) = handle.and_then(|&handle| guard.entries(table).entry_of(handle)) {
                entry.moved_to(object.location());
            }
        }
    }
}

/// Moves the contents and the duties of `old` to `new`.
///
/// Returns [`EBUSY`] if an object on the page is mapped or just then freed, [`EINVAL`] if the handle
/// of one was overwritten; nothing has changed then. Afterwards `old` belongs to nobody.
///
/// Context: as `migrate_page` of `struct movable_operations`; takes the class lock.
///
/// # Safety
///
/// `old` must be a movable page of a zspage, `new` a fresh page, both locked by the caller.
pub unsafe fn migrate_page(new: ZsPage, old: ZsPage) -> Result {
    // SAFETY: The page is locked, so its zspage stays.
    let zspage = unsafe { Zspage::of(old) }.ok_or(EINVAL)?;
    let class = zspage.class();
    let shared = class.shared();
    let guard = class.lock();
    // SAFETY: `old` belongs to the zspage.
    let position = unsafe { old.position() } as usize;
    let range = class.layout().touching(position);
    let locked =
        LockedEntries::lock(&guard, shared.table(), zspage, range.clone()).inspect_err(|_| {
            shared.events().migrations_refused.fetch_add(1, Relaxed);
        })?;
    // SAFETY: Both pages are locked, `new` is fresh, `old` is ours and no object on it is mapped.
    unsafe {
        new.adopt();
        old.copy_page_to(new);
        zspage.replace_page(old, new);
    }
    locked.unlock(&guard, shared.table(), zspage, range);
    drop(guard);
    // SAFETY: `new` is in the chain now and locked by the caller; `old` is out of it.
    unsafe {
        new.finish_adoption(old);
    }
    shared.events().pages_migrated.fetch_add(1, Relaxed);
    Ok(())
}
