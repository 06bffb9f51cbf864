//! Streams whose samples come in blocks that share one stamp: seen from the stamps as they came.

/// Fewest samples from which it is said.
const SAMPLES_MIN: u64 = 32;

/// Counts how many samples have the stamp of the sample before.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SharedStamps {
    last_s: Option<f64>,
    samples: u64,
    shared: u64,
}

impl SharedStamps {
    /// Takes the next stamps.
    pub fn push(&mut self, stamps_s: &[f64]) {
        for stamp_s in stamps_s {
            self.shared += u64::from(self.last_s == Some(*stamp_s));
            self.samples += 1;
            self.last_s = Some(*stamp_s);
        }
    }

    /// Samples per block, where most samples share their stamp with the one before; `None` where they do not, or too few were
    /// seen.
    #[must_use]
    pub fn block_samples(&self) -> Option<f64> {
        let blocks = self.samples - self.shared;
        (self.samples >= SAMPLES_MIN && 2 * self.shared > self.samples)
            .then(|| self.samples as f64 / blocks.max(1) as f64)
    }

    /// The same for people; `name` is the stream's.
    #[must_use]
    pub fn in_words(&self, name: &str) -> Option<String> {
        let block = self.block_samples()?;
        Some(format!(
            "the samples of '{name}' come in blocks of about {block:.0} that share one stamp: where within its block a sample lies is \
             only guessed, evenly. Let the driver give each sample a stamp of its own, or send samples one by one"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_share_a_stamp_are_told_from_samples_with_stamps_of_their_own() {
        let mut seen = SharedStamps::default();
        for block in 0..3 {
            seen.push(&[f64::from(block); 8]);
        }
        assert_eq!(seen.in_words("Amp"), None, "too few to say");
        // Wherever they are cut.
        seen.push(&[3.0; 3]);
        seen.push(&[3.0; 5]);
        assert_eq!(seen.block_samples(), Some(8.0));
        assert!(
            seen.in_words("Amp")
                .unwrap()
                .contains("'Amp' come in blocks of about 8")
        );

        let mut own = SharedStamps::default();
        // Some doubled samples are no blocks, and a stamp that is no number is none that is shared.
        own.push(
            &(0..100)
                .map(|i| f64::from(i - i % 10 / 9))
                .collect::<Vec<_>>(),
        );
        own.push(&[f64::NAN; 100]);
        assert_eq!(own.block_samples(), None);
    }
}
