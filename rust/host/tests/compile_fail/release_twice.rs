// SPDX-License-Identifier: GPL-2.0
// E0382
use zsmalloc_host::engine::{class::SizeClass, zspage::Zspage};
use zsmalloc_host::sys::prelude::Gfp;

pub fn release(class: &SizeClass) {
    let hand = Zspage::alloc(class, Gfp::KERNEL).unwrap();
    hand.release();
    hand.release(); // offending
}
