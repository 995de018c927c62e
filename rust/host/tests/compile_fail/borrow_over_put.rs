// SPDX-License-Identifier: GPL-2.0

//! A reference to what is in the hand does not survive putting it back.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::hand::InHand;
use zsmalloc_host::engine::zspage::Zspage;

pub fn look(guard: &ClassGuard<'_>, hand: InHand<'_>) -> u32 {
    let zspage: &Zspage = &hand;
    guard.put(hand); //~ E0505
    zspage.inuse()
}
