// SPDX-License-Identifier: GPL-2.0

//! Nor once the lock is gone for good.

use zsmalloc_host::engine::class::SizeClass;

pub fn look(class: &SizeClass) -> Option<u32> {
    let guard = class.lock();
    let zspage = guard.fullest_free()?;
    drop(guard); //~ E0505
    Some(zspage.inuse())
}
