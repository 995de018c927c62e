// SPDX-License-Identifier: GPL-2.0

//! Slots are taken by who holds the class lock, inside the engine.

use zsmalloc_host::engine::class::ClassGuard;

pub fn steal(guard: &ClassGuard<'_>) -> Option<()> {
    let zspage = guard.fullest_free()?;
    zspage.take_object(guard); //~ E0624
    Some(())
}
