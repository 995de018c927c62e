// SPDX-License-Identifier: GPL-2.0

//! A pool does not move: classes and work items point to it.

use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::sys::prelude::*;

pub fn swap(a: &mut PinBox<Pool>, b: &mut PinBox<Pool>) {
    core::mem::swap(&mut **a, &mut **b); //~ E0596
    core::mem::swap(a, b);
}
