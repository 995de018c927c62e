// SPDX-License-Identifier: GPL-2.0

//! A reference lent by a class guard ends when the lock is released.

use zsmalloc_host::engine::class::SizeClass;

pub fn look(class: &SizeClass) -> Option<u32> {
    let guard = class.lock();
    let zspage = guard.fullest_free()?;
    drop(guard); //~ E0505
    Some(zspage.inuse())
}
