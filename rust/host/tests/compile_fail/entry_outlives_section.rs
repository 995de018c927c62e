// SPDX-License-Identifier: GPL-2.0

//! An entry is valid only in the read-side section that found it.

use zsmalloc_host::engine::handle_table::{Handle, HandleTable};
use zsmalloc_host::sys::sched::NoPreemption;

pub fn find(table: &HandleTable, handle: Handle) -> bool {
    let section = NoPreemption::new();
    let entry = table.entries(section.rcu()).entry(handle);
    drop(section); //~ E0505
    entry.is_some()
}
