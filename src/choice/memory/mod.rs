//! What a person chose before, at places like this one: attention over remembered choices.
//!
//! Each remembered choice is a key, the model's hidden state at the fork, and a value, the embedding of the chosen branch less the mean of those
//! that were offered beside it. A new fork is the query: softmax attention over the keys gives the value that is expected here, and each branch is
//! preferred as far as it points that way.
//!
//! With unit vectors `q`, `k_i` and embeddings `e` of unit length,
//!
//! ```text
//! w_i = exp((q . k_i - 1) / T)    w_0 = exp((c_0 - 1) / T)    v = sum of w_i v_i / (w_0 + sum of w_i)
//! preference_b = v . (e_b - mean of e over the branches)
//! ```
//!
//! over the [`NEAREST`] keys with the largest `q . k_i`. This is scaled dot-product attention (Vaswani et al. 2017, eq. 1: states of root mean square 1
//! scaled by `1 / sqrt(width)` are cosines with `T = 1 / sqrt(width)`), the retrieval of a modern Hopfield network (Ramsauer et al. 2021, eq. 3), and
//! a Nadaraya-Watson estimate with von Mises-Fisher kernels (Nadaraya 1964, Watson 1964); attention over the nearest of a large memory is that of Wu
//! et al. 2022 ("Memorizing Transformers"). `w_0` is our addition: a key without a value at cosine `c_0`, so that a place like none before it is
//! met without a preference, where a softmax alone would take the nearest however far it is.
//!
//! The nearest keys are found among all of them: a first pass in eight bits, with a bound on its error for each key, says which could be among
//! them; those are compared in f32. So the result is that of comparing all in f32.
//!
//! Not real-time: a query allocates.

mod dot;
mod room;
mod rows;
#[cfg(test)]
mod tests;

use self::rows::Rows;

/// Keys that take part in one query, at most.
pub const NEAREST: usize = 256;
/// Cosine of the key without a value.
pub const COSINE_OF_NOTHING: f32 = 0.5;

/// States that no memory of this width can be asked with, or made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// A vector of another model.
    #[error(
        "a state of {got} numbers in a memory of states of {expected}: they are of different models"
    )]
    Width {
        /// Width of the memory.
        expected: usize,
        /// Width given.
        got: usize,
    },
    /// A value that is not finite, or a vector without a direction.
    #[error("a state is zero or not finite")]
    NoDirection,
    /// A choice among fewer than two branches, or of one that was not offered.
    #[error("branch {chosen} of {branches}: a choice is among two at least, and of one of them")]
    NoChoice {
        /// Number of the branch that was chosen.
        chosen: usize,
        /// Branches offered.
        branches: usize,
    },
}

/// A remembered choice's place in a [`Memory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(usize);

/// A memory of choices that were made with one model. Memories of different models are never mixed: their states mean different things.
///
/// Takes 9 bytes for each number of a state: about 5 KB for a choice at a width of 576.
#[derive(Debug)]
pub struct Memory {
    keys: Rows,
    /// One value for each key, a row of `width` after the other.
    values: Vec<f32>,
    /// 1, or -1 for a choice that was taken back.
    signs: Vec<f32>,
    width: usize,
}

impl Memory {
    /// A memory without choices, of states of `width` numbers.
    #[must_use]
    pub fn new(width: usize) -> Self {
        Self {
            keys: Rows::new(width),
            values: Vec::new(),
            signs: Vec::new(),
            width,
        }
    }

    /// Width of the states.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Number of choices.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.signs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.signs.is_empty()
    }

    /// Adds a choice: of `branches`, the embeddings that were offered at `state`, the one numbered `chosen`. A choice that contradicts another is
    /// kept beside it.
    ///
    /// # Errors
    /// [`MemoryError`]; then nothing was added.
    pub fn learn(
        &mut self,
        state: &[f32],
        branches: &[&[f32]],
        chosen: usize,
    ) -> Result<Place, MemoryError> {
        if chosen >= branches.len() || branches.len() < 2 {
            return Err(MemoryError::NoChoice {
                chosen,
                branches: branches.len(),
            });
        }
        let key = self.direction(state)?;
        let embeddings = self.directions(branches)?;
        let others = (branches.len() - 1) as f32;
        let value = (0..self.width).map(|i| {
            let of_others = embeddings.iter().enumerate().filter(|(b, _)| *b != chosen);
            // One direction of `width` numbers for each branch, `chosen` among them.
            embeddings[chosen][i] - of_others.map(|(_, e)| e[i]).sum::<f32>() / others
        });
        self.values.extend(value);
        self.keys.push(&key);
        self.signs.push(1.0);
        Ok(Place(self.signs.len() - 1))
    }

    /// Says that a choice was taken back: from now on it speaks against what was chosen.
    pub fn take_back(&mut self, place: Place) {
        if let Some(sign) = self.signs.get_mut(place.0) {
            *sign = -1.0;
        }
    }

    /// How much each branch is preferred at a fork: its sum is 0, all are 0 without choices, and 2 is more than any branch can reach.
    ///
    /// # Errors
    /// [`MemoryError::Width`] and [`MemoryError::NoDirection`] for states that cannot be compared.
    pub fn preference(&self, state: &[f32], branches: &[&[f32]]) -> Result<Vec<f32>, MemoryError> {
        let query = self.direction(state)?;
        let embeddings = self.directions(branches)?;
        if self.is_empty() || branches.is_empty() {
            return Ok(vec![0.0; branches.len()]);
        }
        let heat = (self.width as f32).sqrt();
        let weight = |cosine: f32| ((cosine - 1.0) * heat).exp();
        let mut value = vec![0.0_f32; self.width];
        let mut total = weight(COSINE_OF_NOTHING);
        for (cosine, row) in self.keys.nearest(&query, NEAREST) {
            let weight = weight(cosine);
            total += weight;
            let signed = weight * self.signs[row]; // one sign and one value for each key
            let remembered = &self.values[row * self.width..][..self.width];
            value
                .iter_mut()
                .zip(remembered)
                .for_each(|(sum, x)| *sum += signed * x);
        }
        let along: Vec<f32> = embeddings
            .iter()
            .map(|embedding| dot::dot(&value, embedding) / total)
            .collect();
        let mean = along.iter().sum::<f32>() / along.len() as f32;
        Ok(along.into_iter().map(|along| along - mean).collect())
    }

    fn directions(&self, states: &[&[f32]]) -> Result<Vec<Vec<f32>>, MemoryError> {
        states.iter().map(|state| self.direction(state)).collect()
    }

    /// The vector at unit length.
    fn direction(&self, state: &[f32]) -> Result<Vec<f32>, MemoryError> {
        if state.len() != self.width {
            return Err(MemoryError::Width {
                expected: self.width,
                got: state.len(),
            });
        }
        let square: f64 = state.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let norm = square.sqrt();
        if norm > 0.0 && norm.is_finite() {
            Ok(state
                .iter()
                .map(|x| (f64::from(*x) / norm) as f32)
                .collect())
        } else {
            Err(MemoryError::NoDirection)
        }
    }
}
