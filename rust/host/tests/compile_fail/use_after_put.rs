// SPDX-License-Identifier: GPL-2.0

//! A zspage that was put back is not used.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn look(guard: &ClassGuard<'_>, isolated: IsolatedZspage<'_>) {
    guard.putback_zspage(isolated);
    isolated.inuse(); //~ E0382
}
