// SPDX-License-Identifier: GPL-2.0

//! Looking at a zspage that was put back: nobody owns it any more.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn look(guard: &ClassGuard<'_>, isolated: IsolatedZspage<'_>) {
    guard.putback_zspage(isolated);
    isolated.inuse(); //~ E0382
}
