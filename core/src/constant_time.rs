//! Comparing secret bytes in constant time.

/// Whether `a` and `b` hold the same bytes, in a time that depends on their lengths only.
///
/// Lengths are not secret: slices of different lengths are unequal at once.
pub(crate) fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    // The barrier may read all bits of `difference`, so the compiler has to compute them all:
    // a loop that stops at the first unequal byte would not.
    zeroize::optimization_barrier(&difference);
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::constant_time_eq;
    use crate::testing::rounds;

    #[test]
    fn every_single_bit_counts() {
        let secret: [u8; 67] = core::array::from_fn(|i| u8::try_from(i * 3).unwrap_or(7));
        for length in (0..=secret.len()).step_by(rounds(1, 33)) {
            assert!(constant_time_eq(&secret[..length], &secret[..length]));
            for bit in (0..length * 8).step_by(rounds(1, 29)) {
                let mut other = secret;
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(
                    !constant_time_eq(&secret[..length], &other[..length]),
                    "bit {bit} of {length} bytes"
                );
                assert!(constant_time_eq(&secret[..bit / 8], &other[..bit / 8]));
            }
        }
    }

    #[test]
    fn lengths_count() {
        assert!(!constant_time_eq(&[0; 4], &[0; 5]));
        assert!(!constant_time_eq(&[], &[0]));
        assert!(constant_time_eq(&[], &[]));
    }
}
