// SPDX-License-Identifier: GPL-2.0

//! What was found on a list is not looked at any more once the lock was let go for a moment.

use zsmalloc_host::engine::class::ClassGuard;

pub fn look(guard: &mut ClassGuard<'_>) -> Option<u32> {
    let zspage = guard.fullest_free()?;
    guard.unlocked(|| ()); //~ E0502
    Some(zspage.inuse())
}
