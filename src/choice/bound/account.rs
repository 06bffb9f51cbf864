//! The account of forks that were not asked: how many of them may have gone another way than the person would have.

use serde::{Deserialize, Serialize};

use super::{BETS, LAID_OUT, ln_sum_exp};

/// The shares at which a fork can be audited, rising. The first is the least that is ever audited, the last leaves hardly
/// anything to the imitator.
pub const AUDIT_RATES: [f64; 14] = [
    0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.27, 0.36, 0.47, 0.6, 0.75, 0.9, 0.98,
];

const RATES: usize = AUDIT_RATES.len();

/// Of which forks the share is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Those that the person or the imitator decided: the text as a whole. A fork that the person decided cannot have gone
    /// another way, so questions earn trust back.
    Decided,
    /// Those that the imitator took, alone. Stricter; what was lost is earned back by nothing but the imitator's own forks.
    Imitated,
}

/// What an [`Account`] keeps to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccountSettings {
    /// The largest share of the counted forks that may have gone another way, inside 0..1.
    pub disagreement_max: f64,
    /// Which forks are counted.
    pub counted: Counted,
    /// The probability with which more do at any moment, inside 0..1.
    pub risk: f64,
    /// From how many counted forks on it is the share that counts; before, as many may have gone another way as of this many.
    pub forks_min: u32,
    /// The least share of forks that is audited, 0 to 1. It does not matter to the claim; it keeps the alarm and the report fed.
    pub audit_rate_min: f64,
}

/// Decides at which rate the next fork has to be audited so that the claim below stays true, and whether it may be left to the
/// imitator at all.
///
/// **Claim.** Let `S` be the number of forks that the imitator took and the person, had it been asked there, would have taken
/// otherwise; let `N` be the number of forks that are [counted](Counted). With probability at least `1 - risk`, at every moment
/// `S <= disagreement_max * max(N, forks_min)`.
///
/// **Assumption.** Whether a fork is audited is drawn at the rate of [`next_rate`](Self::next_rate), independently of everything
/// before it and of what the person would choose there; and the answer to an audit is what the person would have chosen.
/// Nothing is assumed of the person, the imitator or the text: taste may drift, topics change, adapters be exchanged, the person
/// may know every rule and every audit so far and set out to mislead. Such a person meets the coin like anybody else.
///
/// **Why.** A fork that would go another way is *caught* with its audit's probability `q`, else it passes unseen. A bet of
/// the share `c` on "unseen" multiplies capital by `1 + c q / (1 - q)` when it passes and by `1 - c` when it is caught: fair,
/// whoever decides which forks those are. Mixed over eight shares, capital is a martingale, which ever reaches `1 / risk`
/// with probability at most
/// `risk`. So with the caught ones known, no more can have passed than keep it below
/// ([`hidden_max`](Self::hidden_max)); capital grows least for forks of the lowest rate, so the worst case is that these went
/// wrong first. A fork is left to the imitator only if, should it go wrong too, that number still keeps to the claim. What is
/// caught later can raise the number, and stops imitation, but not what has passed.
///
/// Bets and their mixture are those of Waudby-Smith & Ramdas 2024, here on the coins instead of on the losses. Checking costs
/// a few hundred floating point operations; no allocation.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    settings: AccountSettings,
    /// `ln(1 + c q / (1 - q))` per rate and bet.
    growth: [[f64; 8]; RATES],
    state: Tally,
}

/// What an account has counted; all that has to be kept for it to go on later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Forks that the imitator took, by their audit's rate ([`AUDIT_RATES`]).
    pub imitated: [u32; RATES],
    /// Audits.
    pub audited: u32,
    /// Audits at which the person chose otherwise, or did not answer.
    pub caught: u32,
    /// Other forks that the person decided.
    pub asked: u32,
}

impl Account {
    /// An empty account. Settings out of their ranges are moved into them; the protocol has checked them before.
    #[must_use]
    pub fn new(settings: AccountSettings) -> Self {
        Self::resumed(settings, Tally::default())
    }

    /// An account that goes on from what was counted before, so that its claim spans both.
    #[must_use]
    pub fn resumed(settings: AccountSettings, state: Tally) -> Self {
        let share = |v: f64, otherwise: f64| {
            if v > 0.0 && v < 1.0 { v } else { otherwise }
        };
        Self {
            settings: AccountSettings {
                disagreement_max: share(settings.disagreement_max, 0.1),
                risk: share(settings.risk, 0.05),
                ..settings
            },
            growth: AUDIT_RATES.map(|q| BETS.map(|c| (c * q / (1.0 - q)).ln_1p())),
            state,
        }
    }

    /// What was counted.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.state
    }

    /// Forks that the imitator took.
    #[must_use]
    pub fn imitated(&self) -> u32 {
        self.state
            .imitated
            .iter()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Forks that are counted so far.
    #[must_use]
    pub fn counted(&self) -> u32 {
        match self.settings.counted {
            Counted::Decided => {
                let by_person = self.state.audited.saturating_add(self.state.asked);
                self.imitated().saturating_add(by_person)
            }
            Counted::Imitated => self.imitated(),
        }
    }

    /// How many may have gone another way so far.
    #[must_use]
    pub fn allowed(&self) -> u32 {
        self.allowed_of(self.counted())
    }

    fn allowed_of(&self, counted: u32) -> u32 {
        let counted = counted.max(self.settings.forks_min);
        // A product such as 0.1 * 30 must not fall under 3 by its rounding.
        (self.settings.disagreement_max * f64::from(counted) + 1e-9) as u32
    }

    /// The most that can have gone another way unseen: below this the claim's capital is under `1 / risk`.
    #[must_use]
    pub fn hidden_max(&self) -> u32 {
        let (mut low, mut high) = (0, self.imitated());
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.ln_capital(&self.state.imitated, middle) < self.enough() {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }

    /// `ln` of the capital that the claim does not reach but with the probability `risk`.
    fn enough(&self) -> f64 {
        -self.settings.risk.ln()
    }

    /// `ln` of the capital had `hidden` of the imitated forks gone another way, those of the lowest rates first.
    fn ln_capital(&self, imitated: &[u32; RATES], hidden: u32) -> f64 {
        let mut of = self.started(self.state.caught);
        let mut left = hidden;
        for (count, growth) in imitated.iter().zip(&self.growth) {
            let here = f64::from(left.min(*count));
            for (ln_capital, ln_factor) in of.iter_mut().zip(growth) {
                *ln_capital += here * ln_factor;
            }
            left -= left.min(*count);
        }
        ln_sum_exp(&of)
    }

    /// `ln` of each bet's capital after so many were caught.
    fn started(&self, caught: u32) -> [f64; 8] {
        let mut of = LAID_OUT.map(f64::ln);
        if caught > 0 {
            for (ln_capital, bet) in of.iter_mut().zip(BETS) {
                *ln_capital += f64::from(caught) * (1.0 - bet).ln();
            }
        }
        of
    }

    /// The rate, as an index into [`AUDIT_RATES`], at which the next fork has to be audited for it to be left to the imitator
    /// otherwise. `None`: the claim would not be safe at any rate, so the person has to be asked.
    ///
    /// It is the lowest rate at which the claim would hold had all forks been audited at it, and at which it does hold with this
    /// fork added.
    #[must_use]
    pub fn next_rate(&self) -> Option<usize> {
        let after = self.imitated().saturating_add(1);
        let allowed = self.allowed_of(self.counted().saturating_add(1));
        let planned = self.planned(allowed);
        (planned..RATES).find(|rate| {
            let mut imitated = self.state.imitated;
            imitated[*rate] = imitated[*rate].saturating_add(1); // `rate` is an index of the table
            // One more than is allowed would have been noticed, or is not there to go wrong.
            after <= allowed || self.ln_capital(&imitated, allowed + 1) >= self.enough()
        })
    }

    /// The lowest rate at which the claim would hold had all forks been audited at it.
    fn planned(&self, allowed: u32) -> usize {
        // Where no question earns trust back, the next one caught would end imitation: room is left for it.
        let room = match self.settings.counted {
            Counted::Decided => 0,
            Counted::Imitated => 1,
        };
        let of = self.started(self.state.caught + room);
        let enough = self.enough();
        let suffices = |growth: &[f64; 8]| {
            let mut of = of;
            for (ln_capital, ln_factor) in of.iter_mut().zip(growth) {
                *ln_capital += f64::from(allowed + 1) * ln_factor;
            }
            ln_sum_exp(&of) >= enough
        };
        AUDIT_RATES
            .iter()
            .zip(&self.growth)
            .position(|(rate, growth)| *rate >= self.settings.audit_rate_min && suffices(growth))
            .unwrap_or(RATES - 1)
    }

    /// The imitator took a fork at this rate. An index beyond the table counts as the lowest rate, the least favourable.
    pub fn imitate(&mut self, rate: usize) {
        let rate = if rate < RATES { rate } else { 0 };
        self.state.imitated[rate] = self.state.imitated[rate].saturating_add(1);
    }

    /// The person decided a fork that was not an audit.
    pub fn ask(&mut self) {
        self.state.asked = self.state.asked.saturating_add(1);
    }

    /// A fork was audited. What was not answered counts as a disagreement: what is not known is no agreement.
    pub fn audit(&mut self, agreed: bool) {
        self.state.audited = self.state.audited.saturating_add(1);
        if !agreed {
            self.state.caught = self.state.caught.saturating_add(1);
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should stop"
)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn settings(disagreement_max: f64, risk: f64, forks_min: u32) -> AccountSettings {
        AccountSettings {
            disagreement_max,
            counted: Counted::Imitated,
            risk,
            forks_min,
            audit_rate_min: 0.05,
        }
    }

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        rates: Vec<usize>,
        caught: u32,
        risk: f64,
        hidden: u32,
    }

    /// Independent truth: NumPy tries every set of forks that could have gone wrong (`fixtures/golden/choice/generate.py`).
    #[test]
    fn no_set_of_forks_that_could_be_hidden_is_larger_than_it_says() {
        let golden = include_str!("../../../fixtures/golden/choice/account.json");
        let golden: Golden = serde_json::from_str(golden).unwrap();
        let mut partly = 0;
        for case in golden.cases {
            let mut account = Account::new(settings(0.1, case.risk, 50));
            case.rates.iter().for_each(|rate| account.imitate(*rate));
            (0..case.caught).for_each(|_| account.audit(false));
            assert_eq!(account.hidden_max(), case.hidden, "{:?}", case.rates);
            partly += u32::from(case.hidden < account.imitated());
        }
        assert!(
            partly >= 10,
            "in {partly} cases alone something is excluded"
        );
    }

    /// Whether the person disagrees, from the account, the fork's number and whether the last one was audited.
    type Strategy = fn(&Account, u32, bool) -> bool;

    /// Independent truth: a person who sets out to mislead, told everything but the next coin. It is the share of runs that
    /// counts, so each strategy runs often.
    fn share_misled(strategy: Strategy, counted: Counted, risk: f64) -> f64 {
        let (mut misled, runs) = (0, 400);
        for seed in 0..runs {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut account = Account::new(AccountSettings {
                counted,
                ..settings(0.1, risk, 50)
            });
            let (mut passed, mut audited_last) = (0, false);
            let mut ever = false;
            for fork in 0..300 {
                let Some(rate) = account.next_rate() else {
                    account.ask();
                    continue;
                };
                let disagrees = strategy(&account, fork, audited_last);
                audited_last = random.random::<f64>() < AUDIT_RATES[rate];
                if audited_last {
                    account.audit(!disagrees);
                } else {
                    account.imitate(rate);
                    passed += u32::from(disagrees);
                }
                ever |= passed > account.allowed();
            }
            misled += u32::from(ever);
        }
        f64::from(misled) / runs as f64
    }

    #[test]
    fn nobody_misleads_it_more_often_than_the_risk() {
        let risk = 0.1;
        let strategies: [(&str, Strategy); 6] = [
            ("always", |_, _, _| true),
            ("until caught twice", |account, _, _| {
                account.tally().caught < 2
            }),
            ("once trusted", |account, _, _| account.imitated() > 100),
            ("right after an audit", |_, _, audited| audited),
            ("every fifth", |_, fork, _| fork % 5 == 0),
            ("when few more are allowed", |account, _, _| {
                account.hidden_max() + 2 >= account.allowed()
            }),
        ];
        for (name, strategy) in strategies {
            for counted in [Counted::Decided, Counted::Imitated] {
                let misled = share_misled(strategy, counted, risk);
                // 400 runs at 10 %: three standard deviations are 4.5 %.
                assert!(misled <= risk + 0.045, "{name}, {counted:?}: {misled}");
            }
        }
    }

    #[test]
    fn the_bound_on_what_is_hidden_fails_about_as_often_as_it_may() {
        // Every fork goes wrong, at one rate: were the bound far from this, questions would be asked for nothing.
        for rate in [4, 7, 10] {
            let (mut failed, runs) = (0, 1_000);
            for seed in 0..runs {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                let mut account = Account::new(settings(0.1, 0.1, 1_000));
                let mut ever = false;
                for _ in 0..60 {
                    if random.random::<f64>() < AUDIT_RATES[rate] {
                        account.audit(false);
                    } else {
                        account.imitate(rate);
                        ever |= account.hidden_max() < account.imitated();
                    }
                }
                failed += u32::from(ever);
            }
            let share = f64::from(failed) / runs as f64;
            assert!((0.01..=0.13).contains(&share), "{rate}: {share}");
        }
    }

    #[test]
    fn somebody_who_agrees_is_asked_less_and_less() {
        let mut account = Account::new(settings(0.1, 0.05, 50));
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut rates = Vec::new();
        while account.imitated() < 1_000 {
            let rate = account.next_rate().unwrap();
            rates.push(AUDIT_RATES[rate]);
            if random.random::<f64>() < AUDIT_RATES[rate] {
                account.audit(true);
            } else {
                account.imitate(rate);
            }
        }
        assert!(rates.windows(2).all(|pair| pair[1] <= pair[0]));
        assert!(
            rates[0] >= 0.36 && *rates.last().unwrap() <= 0.07,
            "{rates:?}"
        );
    }

    #[test]
    fn a_stop_ends_when_questions_have_earned_the_trust_back() {
        let mut account = Account::new(AccountSettings {
            counted: Counted::Decided,
            ..settings(0.1, 0.05, 50)
        });
        while let Some(rate) = account.next_rate() {
            account.imitate(rate);
            account.audit(false);
        }
        let mut asked = 0;
        while account.next_rate().is_none() {
            account.ask();
            asked += 1;
            assert!(asked < 1_000);
        }
        assert!(asked >= 5, "{asked}");
    }

    #[test]
    fn with_nothing_caught_the_most_that_can_hide_is_known_in_closed_form() {
        // One bet would have it: (1 - q)^s > risk. The mixture lays 0.3 on that bet and a little more on its neighbours.
        let mut account = Account::new(settings(0.2, 0.05, 1_000));
        for _ in 0..400 {
            account.imitate(6);
        }
        let q: f64 = AUDIT_RATES[6];
        let one_bet = (0.05_f64.ln() / (1.0 - q).ln()).floor() as u32;
        let a_third = ((0.05_f64 * 0.3).ln() / (1.0 - q).ln()).ceil() as u32;
        assert!((one_bet..=a_third).contains(&account.hidden_max()));
        let before = account.hidden_max();
        account.audit(true);
        assert_eq!(account.hidden_max(), before);
        account.audit(false);
        assert!(account.hidden_max() > before);
        assert!(account.hidden_max() <= account.imitated());
    }

    #[test]
    fn the_claim_spans_what_was_counted_before() {
        let mut account = Account::new(settings(0.1, 0.05, 50));
        (0..60).for_each(|_| account.imitate(9));
        account.audit(false);
        let kept = serde_json::to_string(account.tally()).unwrap();
        let resumed = Account::resumed(
            settings(0.1, 0.05, 50),
            serde_json::from_str(&kept).unwrap(),
        );
        assert_eq!(resumed, account);
        assert_eq!(account.allowed(), 6);
        assert_eq!(Account::new(settings(0.1, 0.05, 50)).allowed(), 5);
    }
}
