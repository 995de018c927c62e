// SPDX-License-Identifier: GPL-2.0

//! A freed zspage is not put on a list.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn free(guard: &mut ClassGuard<'_>, isolated: IsolatedZspage<'_>) {
    isolated.free(guard);
    guard.putback_zspage(isolated); //~ E0382
}
