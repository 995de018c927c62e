// SPDX-License-Identifier: GPL-2.0
// E0502
use zsmalloc_host::engine::class::SizeClass;

// What was found under the lock is not used after the lock was let go for a moment.
pub fn pause(class: &SizeClass) -> u32 {
    let mut guard = class.lock();
    let _ = &mut guard;
    let zspage = guard.fullest_open().unwrap();
    guard.unlocked(|| ()); // offending
    zspage.inuse()
}
