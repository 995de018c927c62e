// SPDX-License-Identifier: GPL-2.0

//! A chain of free handles belongs to one class.

use zsmalloc_host::engine::handle_table::{FreeHandles, HandleTable};

pub fn give(table: &HandleTable, a: &FreeHandles, b: &FreeHandles, chain: FreeHandles) {
    a.append(table, chain);
    b.append(table, chain); //~ E0382
}
