// SPDX-License-Identifier: GPL-2.0

//! Bytes that are lent to read are not written.

use zsmalloc_host::engine::map::Mapping;

pub fn write(mapping: &Mapping<'_>) -> u8 {
    mapping.bytes()[0] = 1; //~ E0594
    mapping.bytes()[0]
}
