// SPDX-License-Identifier: GPL-2.0
// E0382
use zsmalloc_host::engine::class::SizeClass;

// As the bug was written: the source stays in its variable over the lock's release.
pub fn compaction(class: &SizeClass) {
    let guard = class.lock();
    let Some(source) = guard.isolate_source() else {
        return;
    };
    while class.freeable_pages() > 0 {
        guard.put(source); // offending
    }
}
