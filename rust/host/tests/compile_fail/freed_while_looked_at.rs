// SPDX-License-Identifier: GPL-2.0

//! A zspage is not freed while a class guard lends a reference to it.

use zsmalloc_host::engine::class::ClassGuard;

pub fn look(guard: &mut ClassGuard<'_>) -> Option<u32> {
    let zspage = guard.fullest_free()?;
    let isolated = guard.isolate_zspage(zspage)?;
    isolated.free(guard); //~ E0502
    Some(zspage.inuse())
}
