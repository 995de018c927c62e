// SPDX-License-Identifier: GPL-2.0

//! Nor is it returned without it.

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::{MapMode, Mapping};
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::sys::prelude::*;

pub fn keep(pool: PinBox<Pool>, handle: Handle) -> Option<Mapping<'static>> {
    return pool.map(handle, MapMode::ReadOnly); //~ E0515
    #[allow(unreachable_code)]
    None
}
