// SPDX-License-Identifier: GPL-2.0

//! Page migration: the kernel moves a page of ours somewhere else.
//!
//! The kernel holds the locks of both pages, so the zspage cannot be released. Under the class
//! lock every object that touches the page gets its word locked, or the migration is refused;
//! then nobody has any of the page mapped, and nobody can find it until the words say where it is
//! now.

use super::class::ClassGuard;
use super::handle_table::HandleTable;
use super::object::Object;
use super::word::Refused;
use super::zspage::Zspage;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::page::ZsPage;
use crate::sys::prelude::*;

fn used<'a>(
    guard: &'a ClassGuard<'_>,
    zspage: &'a Zspage,
    range: core::ops::Range<usize>,
) -> impl Iterator<Item = Object<'a>> {
    range.filter_map(move |index| zspage.used_object(guard, index))
}

// Locks the words of all objects in `range`, or none. `EINVAL` if the handle of one does not lead
// back to it.
fn lock_words(
    guard: &ClassGuard<'_>,
    table: &HandleTable,
    zspage: &Zspage,
    range: core::ops::Range<usize>,
) -> Result {
    for object in used(guard, zspage, range.clone()) {
        let refused = match guard
            .words(table)
            .word_of(object.handle())
            .map(|word| word.try_lock_to_move(object.place()))
        {
            Some(Ok(())) => continue,
            Some(Err(Refused::Busy)) => EBUSY,
            _ => EINVAL,
        };
        unlock_words(guard, table, zspage, range.start..object.index());
        return Err(refused);
    }
    Ok(())
}

// Ends that: the objects are where they are now. Their handles, which were copied along, lead to
// the words that still have the old places.
fn unlock_words(
    guard: &ClassGuard<'_>,
    table: &HandleTable,
    zspage: &Zspage,
    range: core::ops::Range<usize>,
) {
    for object in used(guard, zspage, range) {
        if let Some(word) = guard.words(table).word_of(object.handle()) {
            word.moved_to(object.place());
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
    let pool = class.pool();
    let guard = class.lock();
    // SAFETY: `old` belongs to the zspage.
    let position = unsafe { old.position() } as usize;
    let range = class.layout().touching(position);
    if let Err(error) = lock_words(&guard, pool.table(), zspage, range.clone()) {
        pool.events().migrations_refused.fetch_add(1, Relaxed);
        return Err(error);
    }
    // SAFETY: Both pages are locked, `new` is fresh, `old` is ours and no object on it is mapped.
    unsafe {
        new.adopt();
        old.copy_page_to(new);
        zspage.replace_page(old, new);
    }
    unlock_words(&guard, pool.table(), zspage, range);
    drop(guard);
    // SAFETY: `new` is in the chain now and locked by the caller; `old` is out of it.
    unsafe {
        new.finish_adoption(old);
    }
    pool.events().pages_migrated.fetch_add(1, Relaxed);
    Ok(())
}
