// SPDX-License-Identifier: GPL-2.0

//! A page of a zspage is not used after the zspage was freed.

use zsmalloc_host::sys::chain::Chain;

pub fn look(chain: Box<Chain>) -> Option<usize> {
    let page = chain.find(0)?;
    drop(chain); //~ E0505
    Some(page.pfn())
}
