// SPDX-License-Identifier: GPL-2.0

//! A zspage is freed once.

use zsmalloc_host::engine::hand::InHand;

pub fn free(hand: InHand<'_>) {
    // SAFETY: Nobody uses what a guard lent of it.
    unsafe { hand.release() };
    // SAFETY: Nobody uses what a guard lent of it.
    unsafe { hand.release() }; //~ E0382
}
