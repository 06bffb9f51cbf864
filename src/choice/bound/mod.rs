//! What may be claimed, at any moment, of how often an imitator would have chosen as the person.
//!
//! Everything here bets (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", J. R. Stat.
//! Soc. B 86:1): a gambler's capital that cannot be expected to grow while a claim is true. By Ville's inequality it ever reaches
//! `1 / delta` with probability at most `delta`, so the claim may be looked at after every fork, for as long as one likes.
//!
//! | type | claims | of which forks | assumes |
//! |---|---|---|---|
//! | [`AgreementBound`] | agreement is at least so much on average | those that were put in | nothing of the person: agreement may drift and depend on the past |
//! | [`Account`] | at most so many went another way than the person would have | those that were *not* asked | the audit's coin is independent of what the person would choose at that fork |
//! | [`Alarm`] | no claim: says that agreement has dropped | those that were put in | nothing |
//!
//! Nothing here allocates after construction, has a clock or draws a random number.

mod account;
mod agreement;
mod alarm;

pub use account::{AUDIT_RATES, Account, AccountSettings, Counted, Tally};
pub use agreement::AgreementBound;
pub use alarm::Alarm;

/// Shares of the capital that are staked, from all of it down.
pub(crate) const BETS: [f64; 8] = [1.0, 0.9, 0.75, 0.6, 0.45, 0.3, 0.2, 0.1];
/// How the capital is laid out over them at the start; sums to 1. Much lies on the first: it is the best as long as no
/// disagreement was seen.
pub(crate) const LAID_OUT: [f64; 8] = [0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1];

/// `ln sum exp` of eight numbers, none of which is NaN; minus infinity when all of them are.
pub(crate) fn ln_sum_exp(of: &[f64; 8]) -> f64 {
    let most = of.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most.is_infinite() {
        return most;
    }
    most + of.iter().map(|v| (v - most).exp()).sum::<f64>().ln()
}
