//! The allocator of the program.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3 (its mimalloc.h), which the bindings do not name: after how many milliseconds freed memory goes
/// back to the system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// What it was at the start: mimalloc's own choice, or that of its environment variable.
static USUAL_DELAY: AtomicI64 = AtomicI64::new(0);

/// For the start: until the first [`release`] freed memory goes back at once. With the usual delay the parts of the first configuration
/// come to lie thinly in pages that its reading has touched and freed: 5 MiB more with 1,000 routes. For ever, it would cost each request
/// 1 to 3 %.
pub fn begin() {
    // SAFETY: neither takes a pointer, and no other thread runs yet.
    unsafe {
        USUAL_DELAY.store(libmimalloc_sys::mi_option_get(PURGE_DELAY), Relaxed);
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
    }
}

/// Gives what the calling thread has freed back to the system. Reading and compiling a configuration leaves more behind than it keeps,
/// on a thread that then sleeps: the allocator itself gives back only while its thread works.
pub fn release() {
    // SAFETY: neither takes a pointer. The first concerns only memory that has been freed; the second is one machine word, of which another
    // thread reads the old value or the new one.
    unsafe {
        libmimalloc_sys::mi_collect(true);
        libmimalloc_sys::mi_option_set(PURGE_DELAY, USUAL_DELAY.load(Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::{PURGE_DELAY, begin, release};

    fn resident_pages() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("the process's own numbers");
        statm.split_whitespace().nth(1).expect("the second").parse().expect("a number")
    }

    fn delay() -> std::ffi::c_long {
        // SAFETY: it takes no pointer.
        unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
    }

    #[test]
    fn what_was_freed_goes_back_to_the_system_and_what_is_in_use_stays() {
        let usual = delay();
        begin();
        assert_eq!(delay(), 0, "the start");
        release();
        assert!(usual > 0 && delay() == usual, "{usual} and {}", delay());
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
    fn the_option_has_the_number_that_this_version_gives_it() {
        // Another version may count its options anew. Nobody has set this one: a process of its own asks.
        let output = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "memory::tests::tells_the_delay", "--ignored", "--nocapture"])
            .env("MIMALLOC_PURGE_DELAY", "4711")
            .output()
            .expect("a second run");
        assert!(String::from_utf8_lossy(&output.stdout).contains("delay is 4711"), "{output:?}");
    }

    #[test]
    #[ignore = "a helper of the test above"]
    fn tells_the_delay() {
        println!("delay is {}", delay());
    }
}
