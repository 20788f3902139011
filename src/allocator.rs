//! The program's memory allocator (mimalloc), and when it gives freed memory back to the system.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3 (its mimalloc.h), which the bindings do not name: the milliseconds after which freed memory goes
/// back to the system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// The delay when the process started: mimalloc's default, or the value of its environment variable.
static INITIAL_DELAY: AtomicI64 = AtomicI64::new(0);

/// Sets the purge delay to 0 until the first [`release`], so that memory freed during the start goes back at once. With the initial delay
/// the first configuration would be spread thinly over pages that parsing has touched and freed: 5 MiB more with 1,000 routes. A delay of 0
/// for the whole run would make each request 1 to 3 % slower.
pub fn begin() {
    // SAFETY: neither call takes a pointer, and no other thread runs yet.
    unsafe {
        INITIAL_DELAY.store(libmimalloc_sys::mi_option_get(PURGE_DELAY), Relaxed);
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
    }
}

/// Gives the memory that the calling thread has freed back to the system, and restores the initial purge delay. Parsing and compiling a
/// configuration frees more than it keeps, on a thread that then sleeps: the allocator by itself gives memory back only while its thread
/// works.
pub fn release() {
    // SAFETY: neither call takes a pointer. The first concerns only memory that has been freed; the second sets one machine word, of which
    // another thread reads the old value or the new one.
    unsafe {
        libmimalloc_sys::mi_collect(true);
        libmimalloc_sys::mi_option_set(PURGE_DELAY, INITIAL_DELAY.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::{PURGE_DELAY, begin, release};

    fn resident_pages() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc/self/statm");
        statm.split_whitespace().nth(1).expect("resident pages").parse().expect("a number")
    }

    fn delay() -> std::ffi::c_long {
        // SAFETY: the call takes no pointer.
        unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
    }

    #[test]
    fn release_returns_freed_memory_and_keeps_memory_in_use() {
        let initial = delay();
        begin();
        assert_eq!(delay(), 0, "during the start");
        release();
        assert!(initial > 0 && delay() == initial, "{initial} and {}", delay());
        let kept = vec![7u8; 1 << 20];
        let many: Vec<Vec<u8>> = (0..50_000).map(|n| vec![n as u8; 1024]).collect();
        let full = resident_pages();
        drop(many);
        release();
        let left = resident_pages();
        assert!(left + 5_000 < full, "{full} pages before, {left} after 12,500 were freed");
        assert!(kept.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn purge_delay_has_the_option_number_of_this_mimalloc() {
        // Another version of mimalloc may number its options differently. The variable is read at the start of a process, so the test
        // starts one.
        let output = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "allocator::tests::print_purge_delay", "--ignored", "--nocapture"])
            .env("MIMALLOC_PURGE_DELAY", "4711")
            .output()
            .expect("a second run");
        assert!(String::from_utf8_lossy(&output.stdout).contains("delay is 4711"), "{output:?}");
    }

    #[test]
    #[ignore = "a helper of the test above"]
    fn print_purge_delay() {
        println!("delay is {}", delay());
    }
}
