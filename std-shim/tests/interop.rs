//! Other crates' types and traits, each behind a feature of its own; the tests need all of them.
#![cfg(all(feature = "rand_core-0_10", feature = "subtle", feature = "zeroize"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use rand_core::{TryCryptoRng, TryRng};
use strongroom::{OpenError, SecretString, SecretVec, Share, Vault};
use subtle::ConstantTimeEq;
use support::{alone, forked};
use zeroize::ZeroizeOnDrop;

mod support;

fn vault() -> Vault {
    Vault::new(8192).unwrap()
}

/// Draws numbers and bytes, none of which is drawn twice.
fn draw<R: TryCryptoRng>(generator: &mut R) -> Result<(), R::Error> {
    let mut drawn = vec![generator.try_next_u32()?.into()];
    for _ in 0..8 {
        let mut bytes = [0; 8];
        generator.try_fill_bytes(&mut bytes)?;
        drawn.extend([generator.try_next_u64()?, u64::from_ne_bytes(bytes)]);
    }
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 17);
    Ok(())
}

#[test]
fn a_generator_draws() {
    let vault = vault();
    assert_eq!(draw(&mut vault.generator()), Ok(()));
    assert_eq!(format!("{:?}", vault.generator()), "VaultGenerator { .. }");
}

#[test]
fn a_generator_fails_in_a_forked_child_and_after_an_emergency() {
    alone("a_generator_fails_in_a_forked_child_and_after_an_emergency", || {
        let vault = vault();
        let fails_with = |expected| {
            let mut generator = vault.generator();
            let mut bytes = [7; 8];
            let filled = generator.try_fill_bytes(&mut bytes);
            filled == Err(expected)
                && bytes == [7; 8]
                && generator.try_next_u32() == Err(expected)
                && generator.try_next_u64() == Err(expected)
        };
        assert!(forked(|| fails_with(OpenError::Forked)).success());
        strongroom::wipe_all();
        assert!(fails_with(OpenError::Destroyed));
    });
}

#[test]
fn what_two_guards_show_is_compared() {
    let vault = vault();
    let open = |secret: &[u8]| vault.try_open(&vault.seal(secret, b"").unwrap(), b"").unwrap();
    let (ours, same, other) = (open(b"hunter2"), open(b"hunter2"), open(b"hunter3"));
    let ours = ours.expose_secret();
    assert_eq!(ours.ct_eq(&same.expose_secret()).unwrap_u8(), 1);
    assert_eq!(ours.ct_eq(&other.expose_secret()).unwrap_u8(), 0);
}

#[test]
fn what_is_marked_leaves_zeros() {
    fn use_up<T: ZeroizeOnDrop>(secret: T) {
        drop(secret);
    }
    let vault = Arc::new(vault());
    let sealed = vault.seal(&[7; 40], b"").unwrap();
    let mut line = SecretVec::<u8, &Vault>::new(&vault);
    line.extend_from_slice(&[7; 40]).unwrap();
    let mut text = SecretString::<Share>::new(vault.share());
    text.push_str("hunter2").unwrap();
    use_up(vault.try_open(&sealed, b"").unwrap());
    use_up(vault.share().try_open(&sealed, b"").unwrap());
    use_up(line);
    use_up(text);
    // It looks at every free byte.
    assert_eq!((vault.held(), vault.verify()), (0, Ok(())));
}
