//! How the language model is computed: the format of its numbers, and the threads, their priority and their place.

use serde::{Deserialize, Serialize};

use super::sections::{Checked, default_of};
use crate::decode::Precision;

/// How the language model is computed. The threads that read signals come first: decoding yields to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecodeSection {
    /// How the big matrices of a model are held. The embedded model's stay f32.
    pub precision: Precision,
    /// Threads that decode. Quantised matrices only are shared out; the text is the same for any number.
    pub threads: u32,
    /// Niceness of all of them, the decoder's own thread included: it waits for the others, so none may be nicer than it is.
    pub nice: u32,
    /// Processors that they keep to, one after the other, the decoder's own thread first; any when empty.
    pub cpus: Vec<u32>,
}

impl Default for DecodeSection {
    fn default() -> Self {
        Self {
            precision: Precision::Stored,
            threads: default_of("decode.threads") as u32,
            nice: default_of("decode.nice") as u32,
            cpus: Vec::new(),
        }
    }
}

impl Checked for DecodeSection {
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("decode.threads", f64::from(self.threads)),
            ("decode.nice", f64::from(self.nice)),
        ]
    }
}

/// Most processors named, and one more than the largest number of one.
const CPUS_MAX: usize = 1024;

impl DecodeSection {
    /// Refuses processors that no system has.
    pub(super) fn check_cpus(&self) -> Result<(), String> {
        let absurd = self.cpus.iter().find(|cpu| **cpu as usize >= CPUS_MAX);
        match absurd {
            Some(cpu) => Err(format!(
                "decode.cpus names processor {cpu}: name those that there are, from 0 to {}, or leave the list empty",
                CPUS_MAX - 1
            )),
            None if self.cpus.len() > CPUS_MAX => Err(format!(
                "decode.cpus names {} processors: name {CPUS_MAX} at most",
                self.cpus.len()
            )),
            None => Ok(()),
        }
    }

    /// The processor of thread `number`; 0 is the decoder's own.
    #[must_use]
    pub fn cpu(&self, number: usize) -> Option<usize> {
        let place = number.checked_rem(self.cpus.len())?;
        self.cpus.get(place).map(|cpu| *cpu as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_the_processors_named_one_after_the_other() {
        let section = DecodeSection {
            cpus: vec![3, 5],
            ..DecodeSection::default()
        };
        let found: Vec<_> = (0..3).map(|number| section.cpu(number)).collect();
        assert_eq!(found, [Some(3), Some(5), Some(3)]);
        assert_eq!(DecodeSection::default().cpu(0), None);
    }

    #[test]
    fn a_processor_that_no_system_has_is_refused_by_name() {
        let naming = |cpus: Vec<u32>| DecodeSection {
            cpus,
            ..DecodeSection::default()
        };
        naming(vec![0, 1023]).check_cpus().unwrap();
        let said = naming(vec![0, 4000]).check_cpus().unwrap_err();
        assert!(said.contains("decode.cpus names processor 4000"), "{said}");
        naming(vec![0; 1025]).check_cpus().unwrap_err();
    }
}
