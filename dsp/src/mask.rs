//! A set of channels that can be copied in real time.

use serde::{Deserialize, Serialize};

/// Most channels of one stream.
pub const MAX_CHANNELS: usize = 512;

const WORDS: usize = MAX_CHANNELS / 64;

/// A set of channel numbers below [`MAX_CHANNELS`]; `Copy`, no heap. In JSON it is the list of its members.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<u16>", into = "Vec<u16>")]
pub struct ChannelMask([u64; WORDS]);

impl ChannelMask {
    /// The empty set.
    pub const NONE: Self = Self([0; WORDS]);

    /// Channels `0..channels`; numbers from [`MAX_CHANNELS`] on are left out.
    #[must_use]
    pub fn all(channels: usize) -> Self {
        (0..channels.min(MAX_CHANNELS)).collect()
    }

    /// Adds a channel; numbers from [`MAX_CHANNELS`] on are ignored.
    pub fn insert(&mut self, channel: usize) {
        if let Some(word) = self.0.get_mut(channel / 64) {
            *word |= 1 << (channel % 64);
        }
    }

    /// Takes a channel out.
    pub fn remove(&mut self, channel: usize) {
        if let Some(word) = self.0.get_mut(channel / 64) {
            *word &= !(1 << (channel % 64));
        }
    }

    /// Adds or takes out.
    pub fn set(&mut self, channel: usize, member: bool) {
        if member {
            self.insert(channel);
        } else {
            self.remove(channel);
        }
    }

    /// Whether the channel is in the set.
    #[must_use]
    pub fn contains(&self, channel: usize) -> bool {
        self.0
            .get(channel / 64)
            .is_some_and(|word| word >> (channel % 64) & 1 == 1)
    }

    /// Number of channels in the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Members of either set.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
        self
    }

    /// Members of both sets.
    #[must_use]
    pub fn intersection(mut self, other: &Self) -> Self {
        for (word, also) in self.0.iter_mut().zip(&other.0) {
            *word &= also;
        }
        self
    }

    /// Members of this set that are not in `other`.
    #[must_use]
    pub fn difference(mut self, other: &Self) -> Self {
        for (word, less) in self.0.iter_mut().zip(&other.0) {
            *word &= !less;
        }
        self
    }

    /// The members in rising order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..MAX_CHANNELS).filter(|channel| self.contains(*channel))
    }
}

impl FromIterator<usize> for ChannelMask {
    fn from_iter<I: IntoIterator<Item = usize>>(channels: I) -> Self {
        let mut mask = Self::NONE;
        for channel in channels {
            mask.insert(channel);
        }
        mask
    }
}

impl std::fmt::Debug for ChannelMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl From<Vec<u16>> for ChannelMask {
    fn from(channels: Vec<u16>) -> Self {
        channels.into_iter().map(usize::from).collect()
    }
}

impl From<ChannelMask> for Vec<u16> {
    fn from(mask: ChannelMask) -> Self {
        // MAX_CHANNELS fits u16, so nothing is left out.
        mask.iter().filter_map(|c| u16::try_from(c).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_a_set_and_ignores_channels_it_cannot_hold() {
        let mut mask: ChannelMask = [0, 63, 64, 511, 512, 9_999].into_iter().collect();
        assert_eq!(mask.iter().collect::<Vec<_>>(), [0, 63, 64, 511]);
        assert_eq!((mask.count(), mask.contains(512)), (4, false));
        mask.remove(63);
        mask.remove(9_999);
        let high = ChannelMask::all(MAX_CHANNELS).difference(&ChannelMask::all(64));
        assert_eq!(
            mask.intersection(&high).iter().collect::<Vec<_>>(),
            [64, 511]
        );
        assert_eq!(mask.union(&high).count(), 449);
        assert!(ChannelMask::NONE.is_empty() && !mask.is_empty());
    }

    #[test]
    fn a_mask_survives_json() {
        let mask: ChannelMask = [3, 200].into_iter().collect();
        let json = serde_json::to_string(&mask).unwrap();
        assert_eq!(json, "[3,200]");
        assert_eq!(serde_json::from_str::<ChannelMask>(&json).unwrap(), mask);
    }
}
