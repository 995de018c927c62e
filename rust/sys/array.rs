// SPDX-License-Identifier: GPL-2.0

//! Values that are made in place: arrays, and what needs something else first. `rust/host` mounts this
//! file, too.

use super::prelude::*;

/// An array that is made in place, one element after the other. If one fails, so does the array,
/// and those before it are dropped.
pub fn try_array_from_fn<T, const N: usize>(
    mut make: impl FnMut(usize) -> Result<T>,
) -> impl PinInit<[T; N], Error> {
    let init = move |slot: *mut [T; N]| {
        let slot = slot.cast::<T>();
        for i in 0..N {
            match make(i) {
                // SAFETY: `i` is inside the array, whose memory is valid.
                Ok(element) => unsafe { slot.add(i).write(element) },
                Err(error) => {
                    // SAFETY: So many elements were written.
                    unsafe { core::ptr::slice_from_raw_parts_mut(slot, i).drop_in_place() };
                    return Err(error);
                }
            }
        }
        Ok(())
    };
    // SAFETY: On success every element was written, otherwise none is left.
    unsafe { pin_init_from_closure(init) }
}

/// Calls `make`, and initialises with what that returns. If it fails, so does the initialisation.
pub fn try_init_with<T, I: PinInit<T, Error>>(
    make: impl FnOnce() -> Result<I>,
) -> impl PinInit<T, Error> {
    // SAFETY: On success the slot was initialised by what `make` returned.
    unsafe { pin_init_from_closure(move |slot| make()?.__pinned_init(slot)) }
}
