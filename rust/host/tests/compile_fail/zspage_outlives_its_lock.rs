// SPDX-License-Identifier: GPL-2.0
// E0505
use zsmalloc_host::engine::class::SizeClass;

pub fn fullest(class: &SizeClass) -> u32 {
    let guard = class.lock();
    let zspage = guard.fullest_open().unwrap();
    drop(guard); // offending
    zspage.inuse()
}
