// SPDX-License-Identifier: GPL-2.0
// E0505
use zsmalloc_host::engine::{pool::Pool, zspage::Zspage};
use zsmalloc_host::sys::prelude::{Gfp, PinBox};

pub fn outlive(pool: PinBox<Pool>) {
    let class = pool.class(0).unwrap();
    let hand = Zspage::alloc(class, Gfp::KERNEL).unwrap();
    drop(pool); // offending
    hand.release();
}
