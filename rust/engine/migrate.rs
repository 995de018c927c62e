// SPDX-License-Identifier: GPL-2.0

//! Page migration: the kernel moves a page of a zspage to another page.
//!
//! The kernel holds both page locks, so the zspage cannot be freed. With the class lock held, the
//! entries of all objects on the page are locked; if one is locked already, the migration is
//! refused. From then on nobody can map objects on the page until their entries are updated.

use core::ops::Range;

use super::class::ClassGuard;
use super::geometry::max_objs_per_zspage;
use super::handle_entry::Refused;
use super::handle_table::HandleTable;
use super::object::Object;
use super::zspage::Zspage;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::lockdep;
use crate::sys::page::{Migration, PAGE_SIZE};
use crate::sys::prelude::*;

fn used<'a>(
    guard: &'a ClassGuard<'_>,
    zspage: &'a Zspage,
    range: Range<usize>,
) -> impl Iterator<Item = Object<'a>> {
    range.filter_map(move |index| Object::used(guard, zspage, index))
}

// By slot: the index of the handle whose entry was locked. The handle after an object is read only
// once, as a stray write may change it at any time. It is filled in place: with large pages it takes
// a kilobyte of the stack.
struct LockedEntries([u32; max_objs_per_zspage(PAGE_SIZE)]);

impl LockedEntries {
    fn new() -> Self {
        Self([0; max_objs_per_zspage(PAGE_SIZE)])
    }

    // Locks the entries of all objects in `range`, or none. Returns `EBUSY` if an object is locked,
    // and `EINVAL` if its handle leads to no entry with its location.
    fn lock(
        &mut self,
        guard: &ClassGuard<'_>,
        table: &HandleTable,
        zspage: &Zspage,
        range: Range<usize>,
    ) -> Result {
        // Once for all entries: lockdep tracks at most 48 held locks.
        lockdep::entry_acquired();
        for object in used(guard, zspage, range.clone()) {
            let handle = object.handle();
            let entry = guard.entries(table).entry_of(handle);
            let refused = match entry.map(|entry| entry.try_lock_to_move(object.location())) {
                Some(Ok(())) => {
                    if let Some(slot) = self.0.get_mut(object.index()) {
                        *slot = handle;
                    }
                    continue;
                }
                Some(Err(Refused::Busy)) => EBUSY,
                _ => EINVAL,
            };
            self.unlock(guard, table, zspage, range.start..object.index());
            return Err(refused);
        }
        Ok(())
    }

    // Unlocks the entries of the objects in `range`, and stores the new locations in them.
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

/// Moves the contents of the old page of a migration to the new one, and replaces it in its zspage.
///
/// Returns [`EBUSY`] if an object on the page is mapped or being freed, and [`EINVAL`] if a handle
/// on it was overwritten. On error nothing has changed. On success the old page is in no zspage.
///
/// Context: as for `migrate_page` in `struct movable_operations`. Takes the class lock.
pub fn migrate_page(migration: Migration) -> Result {
    replace_page(&migration)?;
    // SAFETY: `replace_page` has dropped the guard that lent the old page. A locked entry lends the
    // page of its object. `replace_page` had the entries of all objects on the old page locked, and
    // they name the new page now.
    unsafe { migration.finish() };
    Ok(())
}

fn replace_page(migration: &Migration) -> Result {
    let old = migration.old();
    let zspage = Zspage::of(old).ok_or(EINVAL)?;
    let class = zspage.class();
    let (table, events) = (class.shared().table(), class.shared().events());
    let range = class.layout().touching(old.position() as usize);
    let mut locked = LockedEntries::new();
    let guard = class.lock();
    locked
        .lock(&guard, table, zspage, range.clone())
        .inspect_err(|_| {
            events.migrations_refused.fetch_add(1, Relaxed);
        })?;
    // No object on the page is mapped: the entries of all of them are locked.
    let replaced = zspage.replace_page(&guard, migration);
    locked.unlock(&guard, table, zspage, range);
    if !replaced {
        return Err(EINVAL);
    }
    events.pages_migrated.fetch_add(1, Relaxed);
    Ok(())
}
