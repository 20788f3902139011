//! The allocator of the program.
#![allow(unsafe_code)]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives what the calling thread has freed back to the system. Reading and compiling a configuration leaves more behind than it keeps,
/// on a thread that then sleeps: the allocator itself gives back only while its thread works.
pub fn release() {
    // SAFETY: it takes no pointer, and concerns only memory that has been freed.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    use super::release;

    fn resident_pages() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("the process's own numbers");
        statm.split_whitespace().nth(1).expect("the second").parse().expect("a number")
    }

    #[test]
    fn what_was_freed_goes_back_to_the_system_and_what_is_in_use_stays() {
        let kept = vec![7u8; 1 << 20];
        let many: Vec<Vec<u8>> = (0..50_000).map(|n| vec![n as u8; 1024]).collect();
        let full = resident_pages();
        drop(many);
        release();
        let left = resident_pages();
        assert!(left + 5_000 < full, "{full} pages before, {left} after 12,500 were freed");
        assert!(kept.iter().all(|byte| *byte == 7));
    }
}
