//! Rotary positions: how the frequencies are spread, read from a configuration and computed as Hugging Face defines it.

use serde::Serialize;
use serde_json::Value;

use super::config::{CONTEXT_MAX, Keys, ModelConfig, number};
use super::error::ModelError;

/// How the frequencies of the rotary position embedding are spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RopeScaling {
    /// Plain: `theta^(-2i/d)`.
    Default,
    /// Frequencies divided by a factor.
    Linear {
        /// The factor, >= 1.
        factor: f32,
    },
    /// Plain up to the context the model names. What Hugging Face stretches beyond it is never reached: a text ends with its context.
    Dynamic {
        /// The factor, >= 1.
        factor: f32,
    },
    /// Llama 3.1: long wavelengths divided by the factor, short ones kept, a smooth passage between.
    Llama3 {
        /// The factor, >= 1.
        factor: f32,
        /// Wavelengths above `original_context / low` are divided.
        low_freq_factor: f32,
        /// Wavelengths below `original_context / high` are kept.
        high_freq_factor: f32,
        /// Context the model was first trained with, tokens.
        original_context_tokens: usize,
    },
    /// YaRN (Peng et al. 2023, arXiv 2309.00071): pairs that turn often are kept, those that turn seldom divided by the factor, a ramp between.
    Yarn {
        /// The factor, >= 1.
        factor: f32,
        /// What sines and cosines are multiplied with.
        attention_factor: f32,
        /// Pairs that turn more often than this in the first context are kept.
        beta_fast: f32,
        /// Pairs that turn less often than this are divided.
        beta_slow: f32,
        /// Whether the ends of the ramp are whole pairs.
        truncate: bool,
        /// Context the model was first trained with, tokens.
        original_context_tokens: usize,
    },
    /// Divided, pair by pair, by numbers that lie with the weights (GGUF's `rope_freqs.weight`).
    Stored,
}

/// Base and spread of the frequencies.
///
/// Transformers 5 writes `rope_parameters`; before, `rope_theta` and `rope_scaling` stood side by side.
pub(super) fn read(
    keys: &Keys<'_>,
    context_tokens: usize,
) -> Result<(f32, RopeScaling), ModelError> {
    let new = keys.get("rope_parameters").and_then(Value::as_object);
    let old = keys.get("rope_scaling").and_then(Value::as_object);
    let default = Value::from(10_000.0);
    let theta = new
        .and_then(|map| map.get("rope_theta"))
        .or_else(|| keys.get("rope_theta"))
        .unwrap_or(&default);
    let theta_value = number(theta, 1.0, 1e12)
        .ok_or_else(|| keys.wrong("rope_theta", theta, "a number from 1"))?;
    // Only part of each head rotated: another architecture in all but name.
    let partial = |value: Option<&Value>| match value {
        Some(value) if !value.is_null() && value.as_f64() != Some(1.0) => {
            Err(keys.wrong("partial_rotary_factor", value, "1"))
        }
        _ => Ok(()),
    };
    partial(keys.get("partial_rotary_factor"))?;
    let Some(map) = new.or(old) else {
        return Ok((theta_value, RopeScaling::Default));
    };
    partial(map.get("partial_rotary_factor"))?;
    let of = Scaling {
        keys,
        map,
        context_tokens,
    };
    let kind = map
        .get("rope_type")
        .or_else(|| map.get("type"))
        .and_then(Value::as_str);
    Ok((theta_value, of.read(kind.unwrap_or("default"))?))
}

/// The table of one kind of scaling.
struct Scaling<'a> {
    keys: &'a Keys<'a>,
    map: &'a serde_json::Map<String, Value>,
    context_tokens: usize,
}

impl Scaling<'_> {
    /// Absent and `null` are the same thing.
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn part(&self, key: &'static str, min: f64, max: f64) -> Result<f32, ModelError> {
        let found = self.get(key).unwrap_or(&Value::Null);
        number(found, min, max).ok_or_else(|| {
            let expected = format!("a number from {min} to {max}");
            self.keys.wrong(key, found, expected)
        })
    }

    fn part_or(
        &self,
        key: &'static str,
        (min, max): (f64, f64),
        default: f32,
    ) -> Result<f32, ModelError> {
        match self.get(key) {
            None => Ok(default),
            Some(_) => self.part(key, min, max),
        }
    }

    /// What stands beside the table goes before what stands in it; without either it is the context.
    fn original(&self) -> Result<usize, ModelError> {
        const KEY: &str = "original_max_position_embeddings";
        let Some(found) = self.keys.get(KEY).or_else(|| self.get(KEY)) else {
            return Ok(self.context_tokens);
        };
        number(found, 1.0, CONTEXT_MAX as f64)
            .map(|tokens| tokens as usize)
            .ok_or_else(|| {
                let expected = format!("a number from 1 to {CONTEXT_MAX}");
                self.keys.wrong(KEY, found, expected)
            })
    }

    fn factor(&self) -> Result<f32, ModelError> {
        self.part("factor", 1.0, 1e4)
    }

    fn read(&self, kind: &str) -> Result<RopeScaling, ModelError> {
        match kind {
            "default" => Ok(RopeScaling::Default),
            "linear" => Ok(RopeScaling::Linear {
                factor: self.factor()?,
            }),
            "dynamic" => Ok(RopeScaling::Dynamic {
                factor: self.factor()?,
            }),
            "llama3" => self.llama3(),
            "yarn" => self.yarn(),
            other => {
                let expected = "default, linear, dynamic, llama3 or yarn";
                Err(self.keys.wrong("rope_type", &other, expected))
            }
        }
    }

    fn llama3(&self) -> Result<RopeScaling, ModelError> {
        let low_freq_factor = self.part("low_freq_factor", 1e-3, 1e4)?;
        let high_freq_factor = self.part("high_freq_factor", 1e-3, 1e4)?;
        if high_freq_factor <= low_freq_factor {
            let expected = "more than `low_freq_factor`";
            return Err(self
                .keys
                .wrong("high_freq_factor", &high_freq_factor, expected));
        }
        Ok(RopeScaling::Llama3 {
            factor: self.factor()?,
            low_freq_factor,
            high_freq_factor,
            original_context_tokens: self.original()?,
        })
    }

    fn yarn(&self) -> Result<RopeScaling, ModelError> {
        let original_context_tokens = self.original()?;
        let factor = self.factor()?;
        let weight = |scale: f32| 0.1 * scale * factor.ln() + 1.0;
        let (mscale, all) = (
            self.part_or("mscale", (0.0, 1e3), 0.0)?,
            self.part_or("mscale_all_dim", (0.0, 1e3), 0.0)?,
        );
        let usual = if mscale > 0.0 && all > 0.0 {
            weight(mscale) / weight(all)
        } else {
            weight(1.0)
        };
        let beta_fast = self.part_or("beta_fast", (1e-3, 1e4), 32.0)?;
        let beta_slow = self.part_or("beta_slow", (1e-3, 1e4), 1.0)?;
        if beta_fast < beta_slow {
            let expected = "at least `beta_slow`";
            return Err(self.keys.wrong("beta_fast", &beta_fast, expected));
        }
        let truncate = self.get("truncate");
        Ok(RopeScaling::Yarn {
            factor,
            attention_factor: self.part_or("attention_factor", (1e-3, 1e3), usual)?,
            beta_fast,
            beta_slow,
            truncate: match truncate {
                None => true,
                Some(value) => value
                    .as_bool()
                    .ok_or_else(|| self.keys.wrong("truncate", value, "true or false"))?,
            },
            original_context_tokens,
        })
    }
}

impl super::weights::Weights {
    /// As [`frequencies`], divided by what lies with the weights where the configuration says so.
    pub(super) fn frequencies(&mut self, config: &ModelConfig) -> Result<Vec<f32>, ModelError> {
        let mut frequencies = frequencies(config);
        if config.rope_scaling == RopeScaling::Stored {
            let mut divisors = Vec::new();
            let shape = [config.head_dim / 2];
            self.floats(super::gguf::ROPE_DIVISORS, &shape, &mut divisors)?;
            for (frequency, divisor) in frequencies.iter_mut().zip(divisors) {
                // A divisor of nothing would make the angle infinite.
                *frequency /= if divisor > 0.0 { divisor } else { 1.0 };
            }
        }
        Ok(frequencies)
    }
}

/// Radians per token for each pair of a head, with the scaling of the configuration applied.
fn frequencies(config: &ModelConfig) -> Vec<f32> {
    let d = config.head_dim;
    let theta = f64::from(config.rope_theta);
    (0..d / 2)
        .map(|pair| {
            let plain = theta.powf(-((2 * pair) as f64) / d as f64);
            scaled(plain, pair, config) as f32
        })
        .collect()
}

/// What a product of query and key is multiplied with. YaRN stretches both: here once, squared.
pub(super) fn score_scale(config: &ModelConfig) -> f32 {
    let plain = 1.0 / (config.head_dim as f32).sqrt();
    match config.rope_scaling {
        RopeScaling::Yarn {
            attention_factor, ..
        } => plain * attention_factor * attention_factor,
        _ => plain,
    }
}

fn scaled(frequency: f64, pair: usize, config: &ModelConfig) -> f64 {
    match config.rope_scaling {
        RopeScaling::Default | RopeScaling::Dynamic { .. } | RopeScaling::Stored => frequency,
        RopeScaling::Linear { factor } => frequency / f64::from(factor),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_context_tokens,
        } => {
            let (low, high) = (f64::from(low_freq_factor), f64::from(high_freq_factor));
            let turns = original_context_tokens as f64 * frequency / std::f64::consts::TAU;
            // 0 where a wavelength is longer than the low bound, 1 where shorter than the high bound.
            let keep = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            (1.0 - keep) * frequency / f64::from(factor) + keep * frequency
        }
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            truncate,
            original_context_tokens,
            ..
        } => {
            let d = config.head_dim as f64;
            // The pair that turns so many times in the first context.
            let pair_of = |turns: f32| {
                let tokens_per_turn = original_context_tokens as f64 / f64::from(turns);
                d * (tokens_per_turn / std::f64::consts::TAU).ln()
                    / (2.0 * f64::from(config.rope_theta).ln())
            };
            let (mut low, mut high) = (pair_of(beta_fast), pair_of(beta_slow));
            if truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            (low, high) = (low.max(0.0), high.min(d - 1.0));
            if low.total_cmp(&high).is_eq() {
                high += 0.001; // as in the definition: the ramp becomes a step
            }
            let divided = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
            divided * frequency / f64::from(factor) + (1.0 - divided) * frequency
        }
    }
}
