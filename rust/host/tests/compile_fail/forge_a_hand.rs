// SPDX-License-Identifier: GPL-2.0

//! A hand comes from a list or from an allocation, and from nowhere else.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::hand::InHand;

pub fn put_back(guard: &ClassGuard<'_>) {
    guard.put(InHand(None, core::marker::PhantomData)); //~ E0423
}
