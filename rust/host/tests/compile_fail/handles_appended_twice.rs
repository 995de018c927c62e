// SPDX-License-Identifier: GPL-2.0

//! A chain of free handles belongs to one class.

use zsmalloc_host::engine::handle_table::{FreeHandles, HandleEntries};

pub fn give(entries: HandleEntries<'_>, a: &FreeHandles, b: &FreeHandles, chain: FreeHandles) {
    a.append(entries, chain);
    b.append(entries, chain); //~ E0382
}
