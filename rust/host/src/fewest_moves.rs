// SPDX-License-Identifier: GPL-2.0

//! The oracle of compaction: the fewest objects that it has to move.

use std::collections::BTreeMap;

use crate::engine::geometry::ClassShape;
use crate::engine::pool::Pool;
use crate::model::{owner, used_slots};
use crate::sys::mm;
use crate::sys::page::PAGE_SIZE;

/// Returns a lower bound for the objects that compaction has to move, and the slack it is allowed.
///
/// The bound lets the last zspage of a class keep its objects on any run of pages, while compaction
/// moves them to the front. Compaction also chooses zspages by fullness group, and cannot move
/// mapped objects. The pool must be the only one of the machine. Nothing else may run.
pub fn fewest_moves(pool: &Pool) -> (usize, usize) {
    let mut classes: BTreeMap<u16, (ClassShape, Vec<Vec<usize>>)> = BTreeMap::new();
    for chain in mm::chains() {
        let zspage = owner(&chain);
        let shape = *zspage.class().shape();
        let (_, used) = classes
            .entry(shape.index)
            .or_insert_with(|| (shape, Vec::new()));
        used.push(used_slots(pool, &chain).map(|(index, _)| index).collect());
    }
    let (mut fewest, mut slack) = (0, 0);
    for (shape, mut zspages) in classes.into_values() {
        let objs = usize::from(shape.objs);
        zspages.sort_by_key(|used| std::cmp::Reverse(used.len()));
        let inuse = |rank: usize| zspages.get(rank).map_or(0, Vec::len);
        let all: usize = zspages.iter().map(Vec::len).sum();
        let full = all / objs;
        let staying: usize = (0..full).map(inuse).sum();
        // What the last zspage may keep. If it is one of the fullest, the next fullest is filled
        // instead.
        let more = zspages.iter().enumerate().map(|(rank, used)| {
            let run = best_run(&shape, used, all % objs) as isize;
            let cost = if rank < full {
                used.len() - inuse(full)
            } else {
                0
            };
            run - cost as isize
        });
        let more = more.max().unwrap_or(0).max(0) as usize;
        fewest += all - staying - more;
        let sources = zspages.len() - all.div_ceil(objs);
        slack += sources * objs.div_ceil(10) + objs;
    }
    (fewest, slack)
}

// Returns how many of the objects can stay if `rest` objects end up on one run of as few pages as
// they need.
fn best_run(shape: &ClassShape, used: &[usize], rest: usize) -> usize {
    let size = shape.size as usize;
    let bytes = (rest * size).div_ceil(PAGE_SIZE) * PAGE_SIZE;
    (0..=usize::from(shape.pages) * PAGE_SIZE - bytes)
        .step_by(PAGE_SIZE)
        .map(|start| {
            let is_in = |index: usize| index * size >= start && (index + 1) * size <= start + bytes;
            let places = (0..shape.objs.into()).filter(|&index| is_in(index)).count();
            if places < rest {
                return 0;
            }
            used.iter().filter(|&&index| is_in(index)).count().min(rest)
        })
        .max()
        .unwrap_or(0)
}
