// SPDX-License-Identifier: GPL-2.0

//! The old page of a migration is not used after the migration.

use zsmalloc_host::sys::page::Migration;

pub fn look(migration: Migration) -> usize {
    let old = migration.old();
    // SAFETY: The fault: `old` names the page.
    unsafe { migration.finish() }; //~ E0505
    old.pfn()
}
