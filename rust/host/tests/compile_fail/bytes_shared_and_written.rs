// SPDX-License-Identifier: GPL-2.0

//! Bytes are not read while they are lent to write.

use zsmalloc_host::engine::map::Mapping;

pub fn write(mapping: &mut Mapping<'_>) -> Option<()> {
    let bytes = mapping.bytes_mut()?;
    mapping.bytes(); //~ E0502
    bytes[0] = 1;
    Some(())
}
