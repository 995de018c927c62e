// SPDX-License-Identifier: GPL-2.0

//! A new zspage does not outlive the pool that its class is in.

use zsmalloc_host::engine::isolated::NewZspage;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::sys::prelude::*;

pub fn keep(pool: PinBox<Pool>) -> Option<()> {
    let zspage = NewZspage::alloc(pool.class(0)?, Gfp::KERNEL).ok()?;
    drop(pool); //~ E0505
    drop(zspage);
    Some(())
}
