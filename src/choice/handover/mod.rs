//! For each fork: is the person asked, does the imitator choose, or does the model go on?
//!
//! The [`Protocol`](super::Protocol) decides by budget in tokens and by who is present; this room stands before it and decides
//! by what the imitator expects and by what it has been shown to be good for. In this order:
//!
//! 1. The person asked to be asked, or nothing is guessed: a question.
//! 2. The imitator is not sure: a question, if it is worth one. Its value is the divergence of what follows that is lost on
//!    average if the imitator's best is taken ([`Place::value_bits`]); its price rises when more is asked than the budget per
//!    minute allows and falls else.
//! 3. It is sure, and has not been shown to agree: a question, from which both learn.
//! 4. It is sure and shown to agree, but the [`Account`] could not keep its claim: a question.
//! 5. Else a coin is tossed at the account's rate: an **audit** (a question that no budget refuses, or the sample would be biased),
//!    or the imitator's choice.
//!
//! What is claimed of the forks that were not asked, and what is assumed, stands at [`Account`]. Everything else here (certainty,
//! shown agreement, alarm, price) decides how much is asked and has no part in the claim.
//!
//! No clock and no hidden randomness: times are given, and the coin of a question follows from a seed and its number, so that a
//! replay comes to the same decisions. **The seed has to be new in every session** and is written down with it: somebody who
//! meets the same coins again could learn them.

mod settings;
mod words;

use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::bound::{AUDIT_RATES, Account, AgreementBound, Alarm};
use super::imitator::Answer;

pub use settings::{HandoverConfig, HandoverSettings};
pub use words::{Autonomy, Carried, Course, Ended, Place, Reason, Report, Shown, Unasked};

/// Length of time the question budget speaks of, seconds.
const BUDGET_WINDOW_S: f64 = 60.0;
/// What a question too many adds to the price, bits.
const PRICE_STEP_BITS: f64 = 0.02;
/// The price is never higher: a fork at which everything is open is worth asking in the end.
const PRICE_MAX_BITS: f64 = 1.0;
/// What a question is worth that shows whether the imitator agrees, bits.
const SHOWS_BITS: f64 = 0.1;
/// An audit rate below this is "seldom".
const SELDOM: f64 = 0.2;

/// A question that has not ended.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Open {
    reason: Reason,
    /// The branch of which the imitator was sure.
    sure: Option<usize>,
}

/// Decides for each fork who chooses. See the module.
#[derive(Debug, Clone)]
pub struct Handover {
    settings: HandoverSettings,
    seed: u64,
    account: Account,
    agreement: AgreementBound,
    shown: Shown,
    alarm: Alarm,
    /// The person wants to be asked.
    wished: bool,
    /// 0 (rested) to 1.
    fatigue: f64,
    /// When the questions of the last minute were asked.
    asked_at_s: VecDeque<f64>,
    last_at_s: Option<f64>,
    price_bits: f64,
    /// What it would be by the whole budget.
    rested_price_bits: f64,
    /// Whether the place looked at last was worth a question that the budget refused.
    refused: bool,
    open: Option<Open>,
}

impl Handover {
    /// One that has decided nothing. `seed`: of the coins, new in every session.
    #[must_use]
    pub fn new(settings: HandoverSettings, seed: u64) -> Self {
        Self::resumed(settings, seed, &Carried::default())
    }

    /// One that goes on from what earlier sessions left.
    #[must_use]
    pub fn resumed(settings: HandoverSettings, seed: u64, carried: &Carried) -> Self {
        let config = settings.config();
        let Shown { answers, agreed } = carried.shown;
        Self {
            settings,
            seed,
            account: Account::resumed(config.account(), carried.tally),
            agreement: AgreementBound::after(config.risk, answers, agreed),
            shown: Shown {
                answers,
                agreed: agreed.min(answers),
            },
            alarm: Alarm::new(config.disagreement_max, config.alarm_patience),
            wished: false,
            fatigue: 0.0,
            asked_at_s: VecDeque::with_capacity(config.questions_per_min_max.ceil() as usize + 1),
            last_at_s: None,
            price_bits: 0.0,
            rested_price_bits: 0.0,
            refused: false,
            open: None,
        }
    }

    /// What it leaves to the next session.
    #[must_use]
    pub const fn carried(&self) -> Carried {
        Carried {
            shown: self.shown,
            tally: *self.account.tally(),
        }
    }

    /// Decides on a fork. What the imitator takes is entered into the account at once.
    ///
    /// A question that was decided before and never ended counts as one without an answer.
    pub fn decide(&mut self, place: &Place) -> Course {
        self.end(Ended::NoAnswer);
        let course = self.course(place);
        self.charge(place.at_s, course);
        if let Course::Ask(reason) = course {
            self.open = Some(Open {
                reason,
                sure: self.sure(place),
            });
        }
        course
    }

    /// The branch of which the imitator is sure.
    fn sure(&self, place: &Place) -> Option<usize> {
        let (branch, probability) = place.guess?.best();
        (probability >= self.settings.config().confidence_min).then_some(branch)
    }

    fn course(&mut self, place: &Place) -> Course {
        let config = *self.settings.config();
        let Some(guess) = place.guess.filter(|_| config.on) else {
            return self.ask(place, Reason::NoGuess);
        };
        if self.wished {
            return self.ask(place, Reason::Wished);
        }
        let Some(branch) = self.sure(place) else {
            return self.ask(place, Reason::NotSure);
        };
        if !self.is_shown() {
            return self.ask(place, Reason::NotShown);
        }
        let Some(rate) = self.account.next_rate() else {
            return self.ask(place, Reason::NotSafe);
        };
        let audit_rate = AUDIT_RATES[rate]; // an index that the account gave
        if self.coin(place.question) < audit_rate {
            return Course::Ask(Reason::Audit);
        }
        self.account.imitate(rate);
        Course::Imitate {
            branch,
            probability: guess.best().1,
            audit_rate,
        }
    }

    /// Whether agreement has been shown and has not dropped since.
    fn is_shown(&self) -> bool {
        let agreement_min = self.settings.config().agreement_min;
        !self.alarm.sounds() && (agreement_min <= 0.0 || self.agreement.exceeds(agreement_min))
    }

    /// A question, where it is worth one and the budget allows it.
    fn ask(&mut self, place: &Place, reason: Reason) -> Course {
        let at_s = place.at_s;
        while self
            .asked_at_s
            .front()
            .is_some_and(|asked| at_s - asked >= BUDGET_WINDOW_S)
        {
            self.asked_at_s.pop_front();
        }
        // Where it is sure little is lost, but asking shows something.
        let shows_bits = if reason == Reason::NotShown {
            SHOWS_BITS
        } else {
            0.0
        };
        let worth_bits = place.value_bits().max(shows_bits);
        let asked = self.asked_at_s.len() as f64;
        // At least one a minute, however tired: who is never asked is overruled.
        let refused = |price_bits: f64, budget: f64| {
            if worth_bits < price_bits {
                Some(Unasked::NotWorthIt)
            } else {
                (asked + 1.0 > budget.max(1.0)).then_some(Unasked::BudgetSpent)
            }
        };
        let Some(why) = refused(self.price_bits, self.budget_per_min()) else {
            return Course::Ask(reason);
        };
        self.refused = why == Unasked::BudgetSpent;
        let whole = self.settings.config().questions_per_min_max;
        let why = match refused(self.rested_price_bits, whole) {
            None if self.fatigue > 0.0 => Unasked::Tired,
            _ => why,
        };
        let leaning = place.guess.map(|guess| guess.best().0);
        Course::LetModel { why, leaning }
    }

    fn budget_per_min(&self) -> f64 {
        self.settings.config().questions_per_min_max * (1.0 - self.fatigue)
    }

    /// Moves the price on: up by a question that was wanted, down by what the time that has passed would have paid for. It settles
    /// where as much is wanted as can be asked.
    fn charge(&mut self, at_s: f64, course: Course) {
        let asked = matches!(course, Course::Ask(_));
        let wanted = std::mem::take(&mut self.refused) || asked;
        let passed_s = self.last_at_s.map_or(0.0, |last| (at_s - last).max(0.0));
        let moved = |price_bits: f64, per_min: f64| {
            let too_many = f64::from(u8::from(wanted)) - per_min * passed_s / 60.0;
            (price_bits + PRICE_STEP_BITS * too_many).clamp(0.0, PRICE_MAX_BITS)
        };
        self.price_bits = moved(self.price_bits, self.budget_per_min());
        let whole = self.settings.config().questions_per_min_max;
        self.rested_price_bits = moved(self.rested_price_bits, whole);
        self.last_at_s = Some(at_s);
        if asked {
            if self.asked_at_s.len() == self.asked_at_s.capacity() {
                // Audits are never refused and may fill it; the oldest matters least.
                self.asked_at_s.pop_front();
            }
            self.asked_at_s.push_back(at_s);
        }
    }

    /// The coin of a question: uniform in 0..1, from seed and number alone.
    fn coin(&self, question: u64) -> f64 {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(question);
        random.random()
    }

    /// The question that was decided last has ended.
    pub fn end(&mut self, how: Ended) {
        let Some(open) = self.open.take() else { return };
        let answer = match how {
            Ended::Answered(answer) => Some(answer),
            Ended::LeftToModel | Ended::NoAnswer | Ended::Refused => None,
        };
        if open.reason == Reason::Audit {
            let agreed = match how {
                Ended::Answered(answer) => {
                    open.sure.is_some_and(|sure| answer == Answer::Branch(sure))
                }
                // Whatever is taken is fine with the person, the imitator's choice too.
                Ended::LeftToModel => true,
                Ended::NoAnswer | Ended::Refused => false,
            };
            self.account.audit(agreed);
        } else if answer.is_some() || how == Ended::LeftToModel {
            self.account.ask();
        }
        if let (Some(sure), Some(answer)) = (open.sure, answer) {
            self.result(answer == Answer::Branch(sure));
        }
    }

    /// The person took back what the imitator had chosen.
    pub fn taken_back(&mut self) {
        self.result(false);
    }

    /// The imitator was sure, and this is what came of it.
    fn result(&mut self, agreed: bool) {
        self.agreement.push(f64::from(u8::from(agreed)));
        self.shown.answers = self.shown.answers.saturating_add(1);
        self.shown.agreed = self.shown.agreed.saturating_add(u32::from(agreed));
        if self.alarm.hear(!agreed) {
            self.set_back();
        }
    }

    /// Asking returns at once, and agreement has to be shown anew: after an alarm, or when model, adapter or imitator are
    /// exchanged. The account goes on: its claim is about the whole session.
    pub fn set_back(&mut self) {
        self.alarm.reset();
        self.agreement = AgreementBound::new(self.settings.config().risk);
        self.shown = Shown::default();
    }

    /// The person wants to be asked at every fork, or no longer does.
    pub fn ask_me(&mut self, wished: bool) {
        self.wished = wished;
    }

    /// How tired the person is, 0 to 1: the budget falls by this share. What is no number changes nothing.
    pub fn tired(&mut self, fatigue: f64) {
        if !fatigue.is_nan() {
            self.fatigue = fatigue.clamp(0.0, 1.0);
            if self.fatigue == 0.0 {
                // What tiredness made dear is so no longer.
                self.price_bits = self.price_bits.min(self.rested_price_bits);
            }
        }
    }

    /// The level of autonomy now.
    #[must_use]
    pub fn autonomy(&self) -> Autonomy {
        if !self.settings.config().on || self.wished {
            return Autonomy::Asks;
        }
        match self.account.next_rate().filter(|_| self.is_shown()) {
            None => Autonomy::Watches,
            Some(rate) if AUDIT_RATES[rate] >= SELDOM => Autonomy::OftenChecked, // an index that the account gave
            Some(_) => Autonomy::SeldomChecked,
        }
    }

    /// How things stand.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            autonomy: self.autonomy(),
            agreement_lower: self.agreement.lower(),
            shown: self.shown,
            tally: *self.account.tally(),
            counted: self.account.counted(),
            hidden_max: self.account.hidden_max(),
            allowed: self.account.allowed(),
            alarm: self.alarm.level(),
            price_bits: self.price_bits,
        }
    }
}

#[cfg(test)]
mod tests;
