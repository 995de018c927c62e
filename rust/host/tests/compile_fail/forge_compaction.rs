// SPDX-License-Identifier: GPL-2.0

//! Only the pool can begin a compaction.

use zsmalloc_host::engine::pool::Pool;

pub fn compact(pool: &Pool) {
    let _ = pool.begin_compaction(); //~ E0624
    pool.compact();
}
