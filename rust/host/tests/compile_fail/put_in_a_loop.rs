// SPDX-License-Identifier: GPL-2.0

//! A zspage that is put back in each round of a loop.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::hand::InHand;

pub fn put_back(guard: &ClassGuard<'_>, source: InHand<'_>) {
    for _ in 0..2 {
        guard.put(source); //~ E0382
    }
}
