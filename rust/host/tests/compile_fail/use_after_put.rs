// SPDX-License-Identifier: GPL-2.0

//! Looking at a zspage that was put back: it is no longer in the hand.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::hand::InHand;

pub fn look(guard: &ClassGuard<'_>, hand: InHand<'_>) {
    guard.put(hand);
    hand.inuse(); //~ E0382
}
