// SPDX-License-Identifier: GPL-2.0

//! A listed zspage is not freed.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn free(guard: &mut ClassGuard<'_>, isolated: IsolatedZspage<'_>) {
    guard.putback_zspage(isolated);
    isolated.free(guard); //~ E0382
}
