// SPDX-License-Identifier: GPL-2.0

//! Free handles have one owner.

use zsmalloc_host::engine::handle_table::{FreeHandles, HandleEntries};

pub fn give(entries: HandleEntries<'_>, a: &FreeHandles, chain: FreeHandles) {
    a.append(entries, chain.clone()); //~ E0599
    a.append(entries, chain);
}
