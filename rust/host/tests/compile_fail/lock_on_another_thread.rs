// SPDX-License-Identifier: GPL-2.0

//! A spinlock is released on the CPU that took it.

use zsmalloc_host::engine::class::ClassGuard;

fn elsewhere(_: impl Send) {}

pub fn send(guard: ClassGuard<'_>) {
    let _ = &guard;
    elsewhere(guard); //~ E0277
    elsewhere(());
}
