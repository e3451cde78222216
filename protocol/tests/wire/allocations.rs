//! Counts what a thread allocates, so that a test can hold the decoder to its allowance. Knows
//! nothing of decoding.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: usize) {
    // A thread that ends may still allocate; nobody counts there.
    let _ = ALLOCATED_BYTES.try_with(|all| all.set(all.get() + bytes));
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps to what `GlobalAlloc` asks of him.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: the caller keeps to what `GlobalAlloc` asks of him.
        unsafe { System.realloc(at, layout, new_size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to what `GlobalAlloc` asks of him.
        unsafe { System.dealloc(at, layout) }
    }
}

/// What `work` returns, and the bytes that this thread allocated meanwhile, freed or not.
pub fn during<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATED_BYTES.get();
    let result = work();
    (result, ALLOCATED_BYTES.get() - before)
}
