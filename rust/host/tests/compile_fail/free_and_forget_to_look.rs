// SPDX-License-Identifier: GPL-2.0

//! The result of a free must be used.

#![deny(unused_must_use)]

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::pool::Pool;

pub fn free(pool: &Pool, handle: Handle) {
    pool.free(handle); //~ lint
}
