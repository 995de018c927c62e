// SPDX-License-Identifier: GPL-2.0

//! A mapping does not outlive its pool.

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::sys::prelude::*;

pub fn keep(pool: PinBox<Pool>, handle: Handle) -> Option<usize> {
    let mapping = pool.map(handle, MapMode::ReadOnly)?;
    drop(pool); //~ E0505
    Some(mapping.len())
}
