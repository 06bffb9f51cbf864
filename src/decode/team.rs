//! Threads that take parts of one product, and sleep between two.
//!
//! Nobody spins: a thread without work waits in the kernel and takes nothing from the threads that read signals. The thread that
//! decodes does not wait for the others to wake: it takes parts itself until none is left, so one that comes late costs nothing.
//! Each output is computed whole by one thread, so a result has the same bits whoever computed it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::tiles::{Input, Tiles};

/// Bytes of weights in one part: long enough to be worth a lock, short enough that nobody waits long for the last one.
const PART_BYTES: usize = 96 << 10;

/// How many threads decode.
#[derive(Clone)]
pub struct Threads {
    /// All of them, the one that calls included; at least 1.
    pub count: usize,
    /// What each does first, with its number: its niceness, the processor it keeps to. 0 leads, where it is a thread of its own.
    pub begin: Option<Begin>,
}

/// What a thread that decodes does first, given its number.
pub type Begin = Arc<dyn Fn(usize) + Send + Sync>;

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self {
            count: 1,
            begin: None,
        }
    }
}

/// The further threads, and the one product that they work on.
#[derive(Debug)]
pub(super) struct Team {
    shared: Arc<Shared>,
    /// Two engines of one model do not lead at the same time: the second works alone.
    leading: Mutex<()>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    job: Mutex<Job>,
    begin: Condvar,
    end: Condvar,
    /// The next part that nobody has taken. Only set while nobody works.
    next: AtomicUsize,
    /// What each further thread has computed.
    done: Vec<Mutex<Done>>,
}

#[derive(Debug, Default)]
struct Job {
    number: u64,
    work: Option<Work>,
    /// Further threads that have taken this job.
    working: usize,
    /// A further thread panicked over it: what it took is not done.
    failed: bool,
    closing: bool,
}

#[derive(Debug, Clone)]
struct Work {
    tiles: Tiles,
    input: Arc<Input>,
    /// Tiles of a part.
    width: usize,
}

#[derive(Debug, Default)]
struct Done {
    parts: Vec<usize>,
    /// Part by part, row by row.
    y: Vec<f32>,
}

impl Work {
    fn tiles_of(&self, part: usize) -> Option<std::ops::Range<usize>> {
        let begin = part.checked_mul(self.width)?;
        (begin < self.tiles.count()).then(|| begin..(begin + self.width).min(self.tiles.count()))
    }
}

/// No state here is left half-made by a panic, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Team {
    /// Starts `threads.count - 1` threads.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub(super) fn new(threads: &Threads) -> std::io::Result<Self> {
        let further = threads.count.saturating_sub(1);
        let shared = Arc::new(Shared {
            job: Mutex::default(),
            begin: Condvar::new(),
            end: Condvar::new(),
            next: AtomicUsize::new(0),
            done: (0..further).map(|_| Mutex::default()).collect(),
        });
        let mut team = Self {
            shared: Arc::clone(&shared),
            leading: Mutex::new(()),
            threads: Vec::with_capacity(further),
        };
        for number in 0..further {
            let (shared, begin) = (Arc::clone(&shared), threads.begin.clone());
            let thread = std::thread::Builder::new()
                .name(format!("decode-{}", number + 1))
                .spawn(move || {
                    if let Some(begin) = begin {
                        begin(number + 1);
                    }
                    shared.serve(number);
                })?;
            team.threads.push(thread);
        }
        Ok(team)
    }

    /// The whole product of `tiles` with all rows of `input`; `y` is `[row][output]`.
    pub(super) fn multiply(&self, tiles: &Tiles, input: &Arc<Input>, y: &mut [f32]) {
        let outputs = tiles.outputs();
        let work = Work {
            tiles: tiles.clone(),
            input: Arc::clone(input),
            width: (PART_BYTES / tiles.tile_bytes()).max(1),
        };
        let leading = self.leading.try_lock();
        if leading.is_err() || work.width >= tiles.count() {
            tiles.multiply(input, 0..tiles.count(), y, outputs);
            return;
        }
        {
            let mut job = lock(&self.shared.job);
            self.shared.next.store(0, Ordering::Relaxed);
            job.number += 1;
            job.work = Some(work.clone());
        }
        self.shared.begin.notify_all();
        while let Some(part) = work.tiles_of(self.shared.next.fetch_add(1, Ordering::Relaxed)) {
            let first = tiles.outputs_of(&part).start;
            tiles.multiply(input, part, &mut y[first..], outputs);
        }
        let mut job = lock(&self.shared.job);
        job.work = None;
        while job.working > 0 {
            job = self
                .shared
                .end
                .wait(job)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let failed = std::mem::take(&mut job.failed);
        drop(job);
        for done in &self.shared.done {
            lock(done).gather(&work, y);
        }
        if failed {
            // Alone: what panics here too panics where it is heard.
            tiles.multiply(input, 0..tiles.count(), y, outputs);
        }
    }
}

impl Done {
    /// Puts what one thread has computed where it belongs.
    fn gather(&mut self, work: &Work, y: &mut [f32]) {
        let mut from = self.y.as_slice();
        for part in self.parts.drain(..) {
            let Some(tiles) = work.tiles_of(part) else {
                continue;
            };
            let outputs = work.tiles.outputs_of(&tiles);
            for row in y.chunks_exact_mut(work.tiles.outputs()) {
                let (these, rest) = from.split_at(outputs.len());
                row[outputs.clone()].copy_from_slice(these);
                from = rest;
            }
        }
        self.y.clear();
    }
}

impl Shared {
    /// What a further thread does until the team is dropped.
    fn serve(&self, number: usize) {
        let mut seen = 0;
        let mut job = lock(&self.job);
        while !job.closing {
            let work = match &job.work {
                Some(work) if job.number != seen => work.clone(),
                _ => {
                    job = self.begin.wait(job).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
            };
            seen = job.number;
            job.working += 1;
            drop(job);
            let whole = catch_unwind(AssertUnwindSafe(|| {
                self.work(&work, &mut lock(&self.done[number]));
            }));
            // Before it says that it is done: the leader writes to the input again.
            drop(work);
            job = lock(&self.job);
            job.working -= 1;
            job.failed |= whole.is_err();
            if job.working == 0 {
                self.end.notify_one();
            }
        }
    }

    fn work(&self, work: &Work, done: &mut Done) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(tiles) = work.tiles_of(part) else {
                return;
            };
            let width = work.tiles.outputs_of(&tiles).len();
            let begin = done.y.len();
            done.y.resize(begin + work.input.rows() * width, 0.0);
            work.tiles
                .multiply(&work.input, tiles, &mut done.y[begin..], width);
            done.parts.push(part);
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        lock(&self.shared.job).closing = true;
        self.shared.begin.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing to give back.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tiles::{BLOCK, Filling, Format, Packed};
    use super::*;

    fn tiles(format: Format, outputs: usize, inputs: usize) -> Tiles {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let mut stored = Vec::new();
        for _ in 0..outputs * inputs / BLOCK {
            stored.extend(half::f16::from_f32(random.random_range(-0.1..0.1)).to_le_bytes());
            stored.extend((2..format.stored_bytes()).map(|_| random.random::<u8>()));
        }
        let mut arena = Filling::new(format.bytes(outputs, inputs)).expect("room");
        let packed = Packed::stored(&mut arena, format, &stored, outputs, inputs).expect("packed");
        packed.finish(&arena.finish())
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        for format in [Format::Q8, Format::Q4] {
            let (outputs, inputs) = (1_003, 576);
            let tiles = tiles(format, outputs, inputs);
            for rows in [1, 3, 9] {
                let x: Vec<f32> = (0..rows * inputs).map(|i| (i as f32).sin()).collect();
                let mut input = Input::default();
                input.round(&x, rows, inputs);
                let input = Arc::new(input);
                let mut alone = vec![0.0; rows * outputs];
                tiles.multiply(&input, 0..tiles.count(), &mut alone, outputs);
                for count in 1..=4 {
                    let team = Team::new(&Threads { count, begin: None }).expect("threads");
                    for _ in 0..20 {
                        let mut together = vec![f32::NAN; rows * outputs];
                        team.multiply(&tiles, &input, &mut together);
                        assert_eq!(alone, together, "{format:?}, {rows} rows, {count} threads");
                        assert_eq!(Arc::strong_count(&input), 1, "nobody holds the input");
                    }
                }
            }
        }
    }

    #[test]
    fn two_that_lead_at_the_same_time_do_not_mix_their_results() {
        let tiles = tiles(Format::Q8, 500, 576);
        let team = Team::new(&Threads {
            count: 3,
            begin: None,
        })
        .expect("threads");
        std::thread::scope(|scope| {
            for who in 0..2_u8 {
                let (tiles, team) = (&tiles, &team);
                scope.spawn(move || {
                    let x = [f32::from(who) - 0.3; 576];
                    let mut input = Input::default();
                    input.round(&x, 1, 576);
                    let input = Arc::new(input);
                    let mut alone = vec![0.0; 500];
                    tiles.multiply(&input, 0..tiles.count(), &mut alone, 500);
                    for _ in 0..100 {
                        let mut together = vec![f32::NAN; 500];
                        team.multiply(tiles, &input, &mut together);
                        assert_eq!(alone, together);
                    }
                });
            }
        });
    }
}
