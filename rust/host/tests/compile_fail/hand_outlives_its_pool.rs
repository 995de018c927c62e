// SPDX-License-Identifier: GPL-2.0

//! A zspage in hand does not outlive the pool that its class is in.

use zsmalloc_host::engine::fullness::Group;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::engine::zspage::Zspage;
use zsmalloc_host::sys::prelude::*;

pub fn keep(pool: PinBox<Pool>) -> Option<u32> {
    let class = pool.class(0)?;
    let hand = class.lock().pop(Group::FULL)?;
    drop(pool); //~ E0505
    let zspage: &Zspage = &hand;
    let inuse = zspage.inuse();
    class.lock().put(hand);
    Some(inuse)
}
