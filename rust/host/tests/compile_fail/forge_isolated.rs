// SPDX-License-Identifier: GPL-2.0

//! An isolated zspage comes from a list or from an allocation.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn putback_zspage(guard: &ClassGuard<'_>) {
    guard.putback_zspage(IsolatedZspage(None, core::marker::PhantomData)); //~ E0423
}
