// SPDX-License-Identifier: GPL-2.0

//! The right to compact is the pool's to give.

use zsmalloc_host::engine::pool::Pool;

pub fn compact(pool: &Pool) {
    let _ = pool.begin_compaction(); //~ E0624
    pool.compact();
}
