// SPDX-License-Identifier: GPL-2.0

//! The same, with the lock dropped and taken again in between, as it was there.

use zsmalloc_host::engine::class::SizeClass;
use zsmalloc_host::engine::hand::InHand;

pub fn put_back(class: &SizeClass, source: InHand<'_>) {
    let guard = class.lock();
    guard.put(source);
    drop(guard);
    let guard = class.lock();
    guard.put(source); //~ E0382
}
