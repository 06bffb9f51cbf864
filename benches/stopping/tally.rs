//! How selections ended, and what that is worth.
//!
//! - ITR: Wolpaw et al. 2000 (IEEE Trans. Rehab. Eng. 8:164), `B = log2 N + P log2 P + (1 - P) log2((1 - P) / (N - 1))` bits a
//!   selection, 0 at or under chance. A declined fork selects nothing and takes its time: `P` is the share of right ones among
//!   commits, and `B * commits` is divided by the time of all forks.
//! - BCI-utility: Dal Seno et al. 2010 (IEEE TNSRE 18:20). A wrong selection is taken back by one more selection and made
//!   again, a declined one is made again; the expected time to one right selection is `c / (r - w)` with `r` right and `w`
//!   wrong of all forks and `c` their mean time. So `U = log2 N (r - w) / c`, 0 when `w >= r`; without declines it is the
//!   paper's `(2 P - 1) log2 N / c`. Undo is no option of these forks, so that all `N` carry bits (`N - 1` in the paper).
//! - Bits that the person added: Kullback-Leibler divergence of the posterior from the prior. It counts what the gate came to
//!   believe; the bits *about the truth*, `log2(posterior / prior)` of the option that was meant, are lower where it is wrong.

/// How one selection ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    /// Whether the option that was meant was chosen; `None` for a declined fork.
    pub(crate) right: Option<bool>,
    /// Posterior of the option that was ahead.
    pub(crate) claimed: f64,
    /// Flashes whose evidence had come.
    pub(crate) flashes: usize,
    /// From the first flash, seconds.
    pub(crate) seconds: f64,
    /// Divergence of posterior from prior, bits.
    pub(crate) bits: f64,
    /// The same for the option that was meant alone.
    pub(crate) bits_true: f64,
}

/// Many of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(pub(crate) Vec<End>);

/// The figures of one line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) right: f64,
    pub(crate) wrong: f64,
    pub(crate) declined: f64,
    pub(crate) flashes: [f64; 3],
    pub(crate) seconds: [f64; 3],
    /// Mean posterior at a commit, and the share of commits that were right.
    pub(crate) claimed: f64,
    pub(crate) hit: f64,
    pub(crate) itr_bits_per_min: f64,
    pub(crate) utility_bits_per_min: f64,
    pub(crate) bits: f64,
    pub(crate) bits_true: f64,
    /// Share of forks in which the same rule chooses while nobody attends.
    pub(crate) nobody: f64,
}

impl Tally {
    pub(crate) fn figures(&self, options: usize) -> Figures {
        let n = self.0.len() as f64;
        let count = |what: Option<bool>| self.0.iter().filter(|e| e.right == what).count() as f64;
        let (right, wrong) = (count(Some(true)), count(Some(false)));
        let commits = right + wrong;
        let flashes = spread(self.0.iter().map(|e| e.flashes as f64).collect());
        let seconds = spread(self.0.iter().map(|e| e.seconds).collect());
        let minutes = seconds[1] * n / 60.0;
        let committed = self.0.iter().filter(|e| e.right.is_some());
        let utility = (right - wrong).max(0.0) * (options as f64).log2() / minutes;
        Figures {
            right: right / n,
            wrong: wrong / n,
            declined: 1.0 - commits / n,
            flashes,
            seconds,
            claimed: committed.map(|e| e.claimed).sum::<f64>() / commits,
            hit: right / commits,
            itr_bits_per_min: wolpaw_bits(options, right / commits) * commits / minutes,
            utility_bits_per_min: utility,
            bits: self.0.iter().map(|e| e.bits).sum::<f64>() / n,
            bits_true: self.0.iter().map(|e| e.bits_true).sum::<f64>() / n,
            nobody: f64::NAN,
        }
    }

    /// Share of forks that ended with a choice.
    pub(crate) fn chosen(&self) -> f64 {
        self.0.iter().filter(|e| e.right.is_some()).count() as f64 / self.0.len() as f64
    }
}

/// Median, mean and 90th percentile.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * (values.len() as f64 - 1.0)).round() as usize;
        values.get(place).copied().unwrap_or(f64::NAN)
    };
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    [at(0.5), mean, at(0.9)]
}

/// Bits of one selection among `options`, right with probability `p`.
fn wolpaw_bits(options: usize, p: f64) -> f64 {
    let n = options as f64;
    // A share of no commits is no number.
    if p.is_nan() || p <= 1.0 / n {
        return 0.0;
    }
    let wrong = if p < 1.0 {
        (1.0 - p) * ((1.0 - p) / (n - 1.0)).log2()
    } else {
        0.0
    };
    n.log2() + p * p.log2() + wrong
}

impl Figures {
    pub(crate) fn head() {
        println!(
            "{:<34} {:>6} {:>6} {:>6}  {:>17}  {:>17}  {:>7} {:>6}  {:>6} {:>6}  {:>5} {:>5} {:>6}",
            "",
            "right",
            "wrong",
            "declin",
            "flashes 50/avg/90",
            "seconds 50/avg/90",
            "claimed",
            "hit",
            "ITR/mn",
            "util/m",
            "bits",
            "truth",
            "nobody"
        );
    }

    pub(crate) fn print(&self, name: &str) {
        let [f50, f, f90] = self.flashes;
        let [s50, s, s90] = self.seconds;
        println!(
            "{name:<34} {:>6.3} {:>6.3} {:>6.3}  {f50:>5.0} {f:>5.1} {f90:>5.0}  {s50:>5.2} {s:>5.2} {s90:>5.2}  {:>7.3} {:>6.3}  {:>6.2} {:>6.2}  {:>5.2} {:>5.2} {:>6.3}",
            self.right,
            self.wrong,
            self.declined,
            self.claimed,
            self.hit,
            self.itr_bits_per_min,
            self.utility_bits_per_min,
            self.bits,
            self.bits_true,
            self.nobody,
        );
    }

    /// The mean of several people's figures; one without a commit has no say in `claimed` and `hit`.
    pub(crate) fn mean(of: &[Self]) -> Self {
        let mean = |get: fn(&Self) -> f64| {
            let values: Vec<f64> = of.iter().map(get).filter(|v| v.is_finite()).collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        Self {
            right: mean(|f| f.right),
            wrong: mean(|f| f.wrong),
            declined: mean(|f| f.declined),
            flashes: [
                mean(|f| f.flashes[0]),
                mean(|f| f.flashes[1]),
                mean(|f| f.flashes[2]),
            ],
            seconds: [
                mean(|f| f.seconds[0]),
                mean(|f| f.seconds[1]),
                mean(|f| f.seconds[2]),
            ],
            claimed: mean(|f| f.claimed),
            hit: mean(|f| f.hit),
            itr_bits_per_min: mean(|f| f.itr_bits_per_min),
            utility_bits_per_min: mean(|f| f.utility_bits_per_min),
            bits: mean(|f| f.bits),
            bits_true: mean(|f| f.bits_true),
            nobody: mean(|f| f.nobody),
        }
    }
}
