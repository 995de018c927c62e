// SPDX-License-Identifier: GPL-2.0

//! A zspage is not put back in every iteration of a loop.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn putback_zspage(guard: &ClassGuard<'_>, source: IsolatedZspage<'_>) {
    for _ in 0..2 {
        guard.putback_zspage(source); //~ E0382
    }
}
