// SPDX-License-Identifier: GPL-2.0

//! There is no second owner of free handles.

use zsmalloc_host::engine::handle_table::{FreeHandles, Words};

pub fn give(words: Words<'_>, a: &FreeHandles, chain: FreeHandles) {
    a.append(words, chain.clone()); //~ E0599
    a.append(words, chain);
}
