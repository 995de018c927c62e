// SPDX-License-Identifier: GPL-2.0

//! The entries of a pool are changed inside the engine.

use zsmalloc_host::engine::pool::Pool;

pub fn look(pool: &Pool) {
    let _ = pool.table(); //~ E0624
}
