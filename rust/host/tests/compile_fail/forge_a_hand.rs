// SPDX-License-Identifier: GPL-2.0
// E0423
use zsmalloc_host::engine::zspage::InHand;

pub fn forge<'a>() -> Option<InHand<'a>> {
    let _forged: InHand<'a> = InHand(None, core::marker::PhantomData); // offending
    None
}
