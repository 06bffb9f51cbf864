//! Timing on a machine that others use too: many short bursts, the contenders taking turns, least and median.

use std::hint::black_box;
use std::time::Instant;

/// Sorted measurements, nanoseconds.
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn n(&self) -> usize {
        self.0.len()
    }

    /// The value that `percent` of all do not exceed; NaN when there are none.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let at = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0
            .get(at.saturating_sub(1).min(self.0.len().saturating_sub(1)))
            .copied()
            .unwrap_or(f64::NAN)
    }

    pub(crate) fn least(&self) -> f64 {
        self.percentile(0.0)
    }
}

/// One of those that take turns: does its work once when called.
pub(crate) type Turn<'a> = Box<dyn FnMut() + 'a>;

/// `rounds` bursts of `calls` calls each, in turns; nanoseconds per call of each contender.
pub(crate) fn in_turns(contenders: &mut [Turn<'_>], rounds: usize, calls: usize) -> Vec<Sample> {
    let mut found: Vec<Vec<f64>> = contenders
        .iter()
        .map(|_| Vec::with_capacity(rounds))
        .collect();
    for _ in 0..rounds {
        for (work, times) in contenders.iter_mut().zip(&mut found) {
            // Whoever came before has taken the caches.
            work();
            let start = Instant::now();
            for _ in 0..calls {
                black_box(&mut *work)();
            }
            times.push(start.elapsed().as_secs_f64() * 1e9 / calls as f64);
        }
    }
    found.into_iter().map(Sample::new).collect()
}

/// Processor time of this thread so far, seconds; elsewhere than on Unix the wall clock.
pub(crate) fn processor_s() -> f64 {
    #[cfg(unix)]
    {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
    }
    #[cfg(not(unix))]
    {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs_f64()
    }
}

/// Jobs that wanted the processors during the last minute, as the system counts them.
pub(crate) fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(
        |_| "unknown".into(),
        |line| line.split(' ').next().unwrap_or("unknown").into(),
    )
}
