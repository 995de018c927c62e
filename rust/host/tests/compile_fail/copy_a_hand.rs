// SPDX-License-Identifier: GPL-2.0

//! There is no second hand for a zspage.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::hand::InHand;

pub fn put_back(guard: &ClassGuard<'_>, hand: InHand<'_>) {
    guard.put(hand.clone()); //~ E0599
    guard.put(hand);
}
