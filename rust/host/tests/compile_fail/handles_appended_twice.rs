// SPDX-License-Identifier: GPL-2.0

//! A chain of free handles belongs to one class.

use zsmalloc_host::engine::handle_table::{FreeHandles, Words};

pub fn give(words: Words<'_>, a: &FreeHandles, b: &FreeHandles, chain: FreeHandles) {
    a.append(words, chain);
    b.append(words, chain); //~ E0382
}
