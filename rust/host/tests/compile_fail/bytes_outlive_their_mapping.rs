// SPDX-License-Identifier: GPL-2.0
// E0505
use zsmalloc_host::engine::map::Mapping;

pub fn outlive(mapping: Mapping<'_>) -> u8 {
    let bytes = mapping.bytes();
    drop(mapping); // offending
    bytes[0]
}
