// SPDX-License-Identifier: GPL-2.0
// E0599
use zsmalloc_host::engine::{class::SizeClass, zspage::Zspage};
use zsmalloc_host::sys::prelude::Gfp;

pub fn copy(class: &SizeClass) {
    let hand = Zspage::alloc(class, Gfp::KERNEL).unwrap();
    let _other: zsmalloc_host::engine::zspage::InHand<'_> = hand.clone(); // offending
    class.lock().put(hand);
}
