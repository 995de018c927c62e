// SPDX-License-Identifier: GPL-2.0

//! The bytes are gone with the mapping.

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;

pub fn keep(pool: &Pool, handle: Handle) -> Option<u8> {
    let mapping = pool.map(handle, MapMode::ReadOnly)?;
    let bytes = mapping.bytes();
    drop(mapping); //~ E0505
    Some(bytes[0])
}
