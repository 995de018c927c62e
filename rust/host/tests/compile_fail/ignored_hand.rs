// SPDX-License-Identifier: GPL-2.0

//! A zspage is not forgotten by accident.

#![deny(unused_must_use)]

use zsmalloc_host::engine::class::SizeClass;
use zsmalloc_host::engine::zspage::Zspage;
use zsmalloc_host::sys::prelude::*;

pub fn forget(class: &SizeClass) -> Result {
    Zspage::alloc(class, Gfp::KERNEL)?; //~ lint
    Ok(())
}
