// SPDX-License-Identifier: GPL-2.0

//! There is no second owner of free handles.

use zsmalloc_host::engine::handle_table::{FreeHandles, HandleTable};

pub fn give(table: &HandleTable, a: &FreeHandles, chain: FreeHandles) {
    a.append(table, chain.clone()); //~ E0599
    table.give_back(chain);
}
