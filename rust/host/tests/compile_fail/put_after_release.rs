// SPDX-License-Identifier: GPL-2.0

//! What was freed does not go on a list.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::hand::InHand;

pub fn free(guard: &ClassGuard<'_>, hand: InHand<'_>) {
    // SAFETY: Nobody uses what a guard lent of it.
    unsafe { hand.release() };
    guard.put(hand); //~ E0382
}
