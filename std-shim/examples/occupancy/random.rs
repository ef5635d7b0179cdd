//! A small generator with a seed, so that a load can be repeated. Nothing secret comes of it.

/// `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    #[expect(clippy::cast_possible_truncation, reason = "the product's upper half is below `end`")]
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// The length of a secret in bytes: log-normal, median 48, sigma 0.9, 8 to 4,096. Most passwords
    /// and tokens are short, a few keys are long.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "8 to 4,096")]
    pub(crate) fn length(&mut self) -> usize {
        (48.0 * (0.9 * self.normal()).exp()).clamp(8.0, 4096.0).round() as usize
    }

    /// Normal, of mean 0 and deviation 1 (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Above 0, at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
