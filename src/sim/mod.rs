//! The simulated laboratory: amplifier, eye tracker and a person with a wish.
