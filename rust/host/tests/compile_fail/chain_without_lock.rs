// SPDX-License-Identifier: GPL-2.0

//! Threads cannot share a chain of pages without a lock.

use zsmalloc_host::sys::chain::Chain;

pub fn share(chain: &Chain) {
    std::thread::scope(|scope| {
        scope.spawn(|| chain.find(0).is_some()); //~ E0277
    });
}
