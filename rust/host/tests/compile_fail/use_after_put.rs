// SPDX-License-Identifier: GPL-2.0
// E0382
use zsmalloc_host::engine::{class::SizeClass, zspage::Zspage};
use zsmalloc_host::sys::prelude::Gfp;

pub fn inuse(class: &SizeClass) -> u32 {
    let hand = Zspage::alloc(class, Gfp::KERNEL).unwrap();
    let inuse = hand.inuse();
    class.lock().put(hand);
    let inuse = hand.inuse(); // offending
    inuse
}
