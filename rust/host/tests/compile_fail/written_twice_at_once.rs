// SPDX-License-Identifier: GPL-2.0

//! Bytes are lent to write once at a time.

use zsmalloc_host::engine::map::Mapping;

pub fn write(mapping: &mut Mapping<'_>) -> Option<()> {
    let bytes = mapping.bytes_mut()?;
    mapping.bytes_mut(); //~ E0499
    bytes[0] = 1;
    Some(())
}
