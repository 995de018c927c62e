// SPDX-License-Identifier: GPL-2.0

//! Parameters, which belong to the machine.

use super::machine;

/// Returns `compaction_proactiveness`, from 0 to 100.
pub fn compaction_proactiveness() -> usize {
    machine::current().proactiveness()
}
