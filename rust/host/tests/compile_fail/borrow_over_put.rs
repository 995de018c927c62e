// SPDX-License-Identifier: GPL-2.0

//! A reference to an isolated zspage ends when the zspage is put back.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;
use zsmalloc_host::engine::zspage::Zspage;

pub fn look(guard: &ClassGuard<'_>, isolated: IsolatedZspage<'_>) -> u32 {
    let zspage: &Zspage = &isolated;
    guard.putback_zspage(isolated); //~ E0505
    zspage.inuse()
}
