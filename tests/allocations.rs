//! A request on warm connections allocates no memory: neither for its head, its route and its exchange, nor for its response.

#[path = "support/exchange.rs"]
mod exchange;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;

/// The system's allocator, counting the allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending no longer has its counter.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed unchanged to the system's allocator; counting changes a thread-local cell and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller fulfils the conditions of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Requests until all buffers have their size and all counters exist.
const WARM_UP: usize = 20;
const REQUESTS: usize = 1000;

#[test]
fn warm_request_allocates_nothing() {
    assert_allocates_nothing(exchange::Scenario::get(12));
}

#[test]
fn warm_stream_allocates_nothing() {
    assert_allocates_nothing(exchange::Scenario::get_http2(12, 1));
    let request = exchange::block(b"POST", &[b'y'; 256]);
    assert_allocates_nothing(exchange::Scenario { request, ..exchange::Scenario::get_http2(12, 1) });
}

fn assert_allocates_nothing(scenario: exchange::Scenario) {
    let proxy = exchange::InMemoryProxy::new(scenario);
    let allocated = Rc::new(Cell::new([0; 2]));
    let seen = Rc::clone(&allocated);
    proxy.serve(
        WARM_UP + REQUESTS,
        Rc::new(move |number| {
            let [warm, _] = seen.get();
            let now = COUNT.get();
            seen.set([if number <= WARM_UP { now } else { warm }, now]);
        }),
    );
    let [warm, end] = allocated.get();
    assert!(warm > 0, "the counter counts");
    assert_eq!(end - warm, 0, "allocations in {REQUESTS} requests");
}
