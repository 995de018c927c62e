// SPDX-License-Identifier: GPL-2.0

//! A zspage that is on a list is not freed.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::hand::InHand;

pub fn free(guard: &ClassGuard<'_>, hand: InHand<'_>) {
    guard.put(hand);
    // SAFETY: Nobody uses what a guard lent of it.
    unsafe { hand.release() }; //~ E0382
}
