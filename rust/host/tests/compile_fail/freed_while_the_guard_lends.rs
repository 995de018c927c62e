// SPDX-License-Identifier: GPL-2.0

//! Nor is it freed together with the guard that lends the reference.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn look(guard: ClassGuard<'_>, isolated: IsolatedZspage<'_>) -> Option<u32> {
    let zspage = guard.fullest_free()?;
    isolated.unlock_and_free(guard); //~ E0505
    Some(zspage.inuse())
}
