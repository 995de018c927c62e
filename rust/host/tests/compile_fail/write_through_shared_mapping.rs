// SPDX-License-Identifier: GPL-2.0

//! Who may only look at a mapping does not get its bytes to write.

use zsmalloc_host::engine::map::Mapping;

pub fn write(mapping: &Mapping<'_>) -> usize {
    mapping.bytes_mut(); //~ E0596
    mapping.len()
}
