//! The program with an allocator that counts, for `soak.py`: how many octets it holds, ten times a second in the
//! file that `GATEPOST_HELD` names. What the process has of the system's memory says less: the allocator keeps pages
//! of up to 512 KiB for each size and thread, and takes them by the MiB.

#![allow(
    unsafe_code,
    reason = "an allocator cannot be written without; it only counts and passes on"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use mimalloc::MiMalloc;

static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the program's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        // SAFETY: as the caller promised.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promised.
        unsafe { MiMalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(size, Relaxed);
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promised.
        unsafe { MiMalloc.realloc(at, layout, size) }
    }
}

fn main() -> ExitCode {
    if let Some(path) = std::env::var_os("GATEPOST_HELD") {
        let file = File::create(path).expect("a file for what is held");
        std::thread::spawn(move || {
            loop {
                // Always as long, so that nobody reads half of it.
                let held = format!("{:20}\n", HELD.load(Relaxed));
                let _ = file.write_all_at(held.as_bytes(), 0);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    }
    gatepost::cli::main(std::env::args_os(), gatepost::app::run)
}
