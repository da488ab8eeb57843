//! Chance, from a seed.

/// SplitMix64: one addition and two multiplications a draw, any seed is a good one. It breaks ties;
/// nothing secret depends on it.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number of the sequence.
    pub(crate) const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from 0 to 1, without 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    pub(crate) const fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers that the reference implementation (Vigna's splitmix64.c) gives for seed 0.
    #[test]
    fn is_splitmix64() {
        let mut rng = Rng::new(0);
        assert_eq!(
            [rng.draw(), rng.draw(), rng.draw()],
            [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]
        );
    }
}
