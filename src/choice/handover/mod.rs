//! For each fork: is the person asked, does the imitator choose, or does the model go on?
//!
//! The [`Protocol`](super::Protocol) decides by budget in tokens and by who is present; this room stands before it and decides
//! by what the imitator expects and by what it has been shown to be good for. In this order:
//!
//! 1. The person asked to be asked: a question, whatever its price. Nothing is guessed: a question, if the budget has one.
//! 2. The imitator is not sure: a question, if it is worth one. Its value is the divergence of what follows that is lost on
//!    average if the imitator's best is taken ([`Place::value_bits`]); its price is what that was worth at as many of
//!    the latest forks as the budget per minute pays for.
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
/// Forks whose values set the price.
const PRICED_FORKS: usize = 48;
/// So many times what the budget pays for is wanted: the questions of a minute may be used up just when one is.
const WANTED: f64 = 1.5;
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
    /// When the latest forks came, and what a question was worth there, bits; an audit is always wanted, what the imitator took
    /// never.
    valued: VecDeque<(f64, f64)>,
    price_bits: f64,
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
            valued: VecDeque::with_capacity(PRICED_FORKS),
            price_bits: 0.0,
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
        self.charge(place, course);
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
        if self.wished {
            return Course::Ask(Reason::Wished);
        }
        let config = *self.settings.config();
        let Some(guess) = place.guess.filter(|_| config.on) else {
            return self.ask(place, Reason::NoGuess);
        };
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
        let worth_bits = Self::worth_bits(place, reason == Reason::NotShown);
        let Some(why) = self.refusal(worth_bits, self.price_bits, self.budget_per_min()) else {
            return Course::Ask(reason);
        };
        let whole = self.settings.config().questions_per_min_max;
        let rested = || self.refusal(worth_bits, self.price_of(whole), whole);
        let why = if self.fatigue > 0.0 && rested().is_none() {
            Unasked::Tired
        } else {
            why
        };
        let leaning = place.guess.map(|guess| guess.best().0);
        Course::LetModel { why, leaning }
    }

    /// What tiredness leaves of the budget: one a minute at least, where the whole one has that. Who is never asked is overruled.
    fn budget_per_min(&self) -> f64 {
        let whole = self.settings.config().questions_per_min_max;
        (whole * (1.0 - self.fatigue)).max(whole.min(1.0))
    }

    /// Why a question that is worth so much is not asked at this price and budget; `None` when it is.
    fn refusal(&self, worth_bits: f64, price_bits: f64, budget_per_min: f64) -> Option<Unasked> {
        if worth_bits < price_bits {
            return Some(Unasked::NotWorthIt);
        }
        // At least one a minute, as above: of less than one none could ever be asked.
        let mut budget = budget_per_min.max(1.0);
        if price_bits > 0.0 && worth_bits <= price_bits {
            // As many forks may be worth just the price as there are: they have what better ones leave.
            budget -= self.better_per_min(price_bits);
        }
        (self.asked_at_s.len() as f64 + 1.0 > budget).then_some(Unasked::BudgetSpent)
    }

    /// Where it is sure little is lost, but while agreement is to be shown asking shows something.
    fn worth_bits(place: &Place, shows: bool) -> f64 {
        let shows_bits = if shows { SHOWS_BITS } else { 0.0 };
        place.value_bits().max(shows_bits)
    }

    /// Sets the price anew: so high that of the latest forks as many are worth it as the time between them pays for, and some
    /// more. A quantile over a window is there at once when values fall, as they do while the imitator learns.
    fn charge(&mut self, place: &Place, course: Course) {
        let worth_bits = match course {
            Course::Ask(Reason::Audit) => PRICE_MAX_BITS,
            Course::Imitate { .. } => 0.0,
            Course::Ask(_) | Course::LetModel { .. } => {
                let shows = self.sure(place).is_some() && !self.is_shown();
                Self::worth_bits(place, shows)
            }
        };
        if self.valued.len() == PRICED_FORKS {
            self.valued.pop_front();
        }
        self.valued.push_back((place.at_s, worth_bits));
        self.price_bits = self.price_of(self.budget_per_min());
        if matches!(course, Course::Ask(_)) {
            if self.asked_at_s.len() == self.asked_at_s.capacity() {
                // Audits and what the person wished are never refused and may fill it; the oldest matters least.
                self.asked_at_s.pop_front();
            }
            self.asked_at_s.push_back(place.at_s);
        }
    }

    /// Forks a minute, of the latest, that were worth more than this price.
    fn better_per_min(&self, price_bits: f64) -> f64 {
        let (Some((first_s, _)), Some((last_s, _))) = (self.valued.front(), self.valued.back())
        else {
            return 0.0;
        };
        let better = self.valued.iter().filter(|(_, w)| *w > price_bits);
        let passed_s = last_s - first_s;
        if passed_s > 0.0 {
            60.0 * better.count() as f64 / passed_s
        } else {
            0.0
        }
    }

    fn price_of(&self, budget_per_min: f64) -> f64 {
        let (Some((first_s, _)), Some((last_s, _))) = (self.valued.front(), self.valued.back())
        else {
            return 0.0;
        };
        let forks = self.valued.len();
        let gaps = forks.saturating_sub(1).max(1) as f64;
        let between_s = ((last_s - first_s) / gaps).max(0.0);
        let paid_for = budget_per_min / 60.0 * between_s * forks as f64;
        let wanted = (WANTED * paid_for) as usize;
        if forks < 2 || wanted >= forks {
            return 0.0;
        }
        let mut worth: Vec<f64> = self.valued.iter().map(|(_, worth)| *worth).collect();
        worth.sort_by(|a, b| b.total_cmp(a));
        let last = worth.get(wanted.saturating_sub(1)).copied().unwrap_or(0.0);
        last.clamp(0.0, PRICE_MAX_BITS)
    }

    /// The coin of a question: uniform in 0..1, from seed and number alone.
    fn coin(&self, question: u64) -> f64 {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(question);
        random.random()
    }

    /// The question that was decided last is not asked, as another budget has none left: it costs nothing.
    pub fn refuse(&mut self) {
        if self.open.is_some() {
            self.end(Ended::Refused);
            self.asked_at_s.pop_back();
        }
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
            // What tiredness made dear is so no longer when it has gone.
            self.price_bits = self.price_of(self.budget_per_min());
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
