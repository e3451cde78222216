//! What makes a thread's run follow from its seed alone: every source of chance in the process that
//! is not asked for by name. Knows nothing of what runs.
//!
//! Hash maps and the runtime's `select!` draw their keys from the operating system through
//! `getrandom`. This binary has one of its own, which a thread with a seed answers from it.

use std::cell::Cell;

use crate::random::Random;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Runs `work` in a thread of its own whose chance follows from `seed`.
pub fn seeded<T: Send>(seed: u64, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let run = move || {
            SEED.set(Some(seed));
            broker::random::follow(seed);
            work()
        };
        match scope.spawn(run).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Takes the place of the C library's.
///
/// # Safety
/// `into` must be valid for writes of `len` bytes, as the C library's asks too.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(into: *mut u8, len: usize, flags: libc::c_uint) -> isize {
    let Some(seed) = SEED.get() else {
        // SAFETY: the caller's promise, handed on to the system call of the same name.
        return unsafe { libc::syscall(libc::SYS_getrandom, into, len, flags) as isize };
    };
    let mut random = Random::new(seed);
    SEED.set(Some(random.draw()));
    for at in 0..len {
        // SAFETY: `at` is below `len`, for which the caller vouches.
        unsafe { into.add(at).write(random.draw() as u8) };
    }
    len as isize
}
