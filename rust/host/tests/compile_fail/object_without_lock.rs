// SPDX-License-Identifier: GPL-2.0

//! Only the engine allocates slots, with the class lock held.

use zsmalloc_host::engine::class::ClassGuard;

pub fn steal(guard: &ClassGuard<'_>) -> Option<()> {
    let zspage = guard.fullest_free()?;
    zspage.take_first_below(usize::MAX); //~ E0624
    Some(())
}
