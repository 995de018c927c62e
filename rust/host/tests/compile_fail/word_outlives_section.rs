// SPDX-License-Identifier: GPL-2.0

//! A word is valid only in the read-side section in which it was looked up.

use zsmalloc_host::engine::handle_table::{Handle, HandleTable};
use zsmalloc_host::sys::sched::NoPreemption;

pub fn find(table: &HandleTable, handle: Handle) -> bool {
    let section = NoPreemption::new();
    let word = table.words(section.rcu()).word(handle);
    drop(section); //~ E0505
    word.is_some()
}
