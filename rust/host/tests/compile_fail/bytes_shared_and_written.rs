// SPDX-License-Identifier: GPL-2.0
// E0502
use zsmalloc_host::engine::map::Mapping;

pub fn write(mut mapping: Mapping<'_>) -> u8 {
    let bytes = mapping.bytes();
    mapping.bytes_mut().unwrap()[0] = 1; // offending
    let byte = bytes[0];
    let _ = &mut mapping;
    byte
}
