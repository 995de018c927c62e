// SPDX-License-Identifier: GPL-2.0

//! Decodes the bytes of the fuzzer and of its corpus into a [`Setup`] and operations.

use crate::model::{Op, Setup};
use crate::sys::page::PAGE_SIZE;

/// The number of operations after which [`decode`] stops.
const MOST_OPS: usize = 500;

/// Decodes a setup and operations.
///
/// Any bytes are valid. An operation takes as few bytes as possible, so that a small change of the
/// input is a small change of the operations.
pub fn decode(bytes: &[u8]) -> (Setup, Vec<Op>) {
    let mut bytes = bytes.iter().copied();
    let mut byte = || bytes.next();
    let head = byte().unwrap_or(0);
    let mut setup = Setup {
        chain: usize::from(4 + head % 13),
        packed: byte().unwrap_or(0) % 2 == 1,
        sizes: Vec::new(),
        destroy_full: false,
    };
    setup.destroy_full = head >= 128;
    for _ in 0..3 {
        let size = u16::from_le_bytes([byte().unwrap_or(0), byte().unwrap_or(0)]);
        setup.sizes.push(usize::from(size) % (PAGE_SIZE + 1));
    }
    let mut ops = Vec::new();
    while let Some(code) = byte() {
        let mut which = || byte().map(usize::from);
        let Some(op) = (|| {
            Some(match code % 24 {
                0..=2 => Op::Malloc(usize::from(code / 24)),
                3 => Op::MallocBytes(which()? * 17),
                4 => Op::MallocFailing(usize::from(code / 24), which()?),
                5 | 6 => Op::Free(which()?),
                7 => Op::FreeAgain(which()?),
                8 => {
                    let number = [which()?, which()?, which()?].map(|n| n as u64);
                    Op::Bogus(number[0] | (number[1] << 8) | (number[2] << 16))
                }
                9 if code < 128 => Op::Read(which()?),
                9 => Op::ReadBegin(which()?, code >= 192),
                10 if code < 128 => Op::Update(which()?, ops.len() as u64),
                10 => Op::Write(which()?, which()? as u64),
                11 => Op::Overwrite(which()?, ops.len() as u64),
                12 => Op::Hold(usize::from(code / 24), which()?, code >= 128),
                13 if code >= 128 => Op::ReadEnd(usize::from(code / 24)),
                13 => Op::LetGo(usize::from(code / 24)),
                14 => Op::Nest(which()?, which()?),
                15 => Op::Compact,
                16 => Op::CompactAmid(which()? % 16),
                17 | 18 => Op::Migrate(which()?),
                19 => Op::MigrateAll,
                20 => Op::LockPage(which()?),
                21 => Op::UnlockPages,
                22 => Op::Isolate(which()?),
                _ if code < 128 => Op::EndIsolation(which()?, code % 2 == 1),
                _ => Op::Work,
            })
        })() else {
            break;
        };
        ops.push(op);
        if ops.len() == MOST_OPS {
            break;
        }
    }
    (setup, ops)
}
