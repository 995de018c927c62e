// SPDX-License-Identifier: GPL-2.0

//! A chain of pages is a part of a zspage.

use zsmalloc_host::sys::chain::Chain;

pub fn new() {
    let _ = Chain::new(); //~ E0133
}
