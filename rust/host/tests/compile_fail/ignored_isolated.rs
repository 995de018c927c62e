// SPDX-License-Identifier: GPL-2.0

//! An isolated zspage must be used.

#![deny(unused_must_use)]

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::fullness::Group;

pub fn forget(guard: &ClassGuard<'_>) -> Option<()> {
    guard.isolate_first(Group::FULL)?; //~ lint
    Some(())
}
