// SPDX-License-Identifier: GPL-2.0

//! An isolated zspage does not outlive the pool of its class.

use zsmalloc_host::engine::fullness::Group;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::engine::zspage::Zspage;
use zsmalloc_host::sys::prelude::*;

pub fn keep(pool: PinBox<Pool>) -> Option<u32> {
    let class = pool.class(0)?;
    let isolated = class.lock().isolate_first(Group::FULL)?;
    drop(pool); //~ E0505
    let zspage: &Zspage = &isolated;
    let inuse = zspage.inuse();
    class.lock().putback_zspage(isolated);
    Some(inuse)
}
