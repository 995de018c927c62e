// SPDX-License-Identifier: GPL-2.0

//! A reference lent by a class guard ends when the lock is dropped for a moment.

use zsmalloc_host::engine::class::ClassGuard;

pub fn look(guard: &mut ClassGuard<'_>) -> Option<u32> {
    let zspage = guard.fullest_free()?;
    guard.unlocked(|| ()); //~ E0502
    Some(zspage.inuse())
}
