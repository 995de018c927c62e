// SPDX-License-Identifier: GPL-2.0
// E0505
use zsmalloc_host::engine::{handle_table::Handle, map::MapMode, pool::Pool};
use zsmalloc_host::sys::prelude::PinBox;

pub fn outlive(pool: PinBox<Pool>, handle: Handle) -> usize {
    let mapping = pool.map(handle, MapMode::ReadOnly).unwrap();
    drop(pool); // offending
    mapping.len()
}
