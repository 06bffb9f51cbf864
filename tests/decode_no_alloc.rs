//! A step of the decoder allocates nothing, once it has seen as many rows before.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use razvilka::decode::{Model, Precision, Steps};

/// Counts allocations of the thread that asks for it, and leaves the rest to the system.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator; the counter is a plain thread-local cell that needs no
// allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout, as all of ours do.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
}

#[test]
fn a_token_allocates_nothing_within_a_page() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/story-model");
    for precision in [Precision::F32, Precision::Q8, Precision::Q4] {
        let model = Arc::new(Model::load_as(folder, precision).unwrap());
        let mut steps = Steps::new(model);
        // 36 tokens: the page of sixteen that is open now has room for twelve more.
        steps.read(&[2; 30]).unwrap();
        for token in 2..8 {
            steps.step(&[token]).unwrap();
        }
        let count = allocations(|| {
            for token in 2..12 {
                steps.step(&[token]).unwrap();
            }
        });
        assert_eq!(count, 0, "{precision:?}");
    }
}
