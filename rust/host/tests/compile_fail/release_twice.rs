// SPDX-License-Identifier: GPL-2.0

//! A zspage is freed once.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn free(guard: &mut ClassGuard<'_>, isolated: IsolatedZspage<'_>) {
    isolated.free(guard);
    isolated.free(guard); //~ E0382
}
