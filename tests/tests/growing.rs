//! Secrets that grow: nothing is lost when there is no room, and nothing is left where they were.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::fmt::Write;

use proptest::prelude::*;
use strongroom_core::{Allocate, AllocateError, Buffer, Enclave, SecretString, SecretVec};
use strongroom_tests::faults;
use strongroom_tests::raw::{Ground, Lab};

fn with_lab(len: usize, test: impl FnOnce(&Lab<'_>)) {
    let mut ground = Ground::new(len, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    test(&lab);
    assert_eq!(lab.arena().stats().live, 0, "something is left");
    assert_eq!(lab.arena().verify(), Ok(()));
    assert_eq!(faults::take(), []);
}

/// How often the pattern lies in the leaves.
fn count(lab: &Lab<'_>, pattern: &[u8]) -> usize {
    let leaves = lab.read(lab.first_leaf()..lab.arena().region_len());
    leaves.windows(pattern.len()).filter(|&window| window == pattern).count()
}

#[test]
fn what_it_grew_out_of_is_wiped() {
    with_lab(1 << 14, |lab| {
        let mut secret = SecretVec::new(lab.arena());
        let pattern = b"growing!";
        for count in 1..=100 {
            secret.extend_from_slice(pattern).unwrap();
            assert_eq!((secret.len(), lab.arena().stats().live), (8 * count, 1));
        }
        assert_eq!(count(lab, pattern), 100, "each lies where it is now, and nowhere else");
        secret.truncate(11);
        assert_eq!(secret.expose_secret(), b"growing!gro");
        assert_eq!(count(lab, pattern), 1);
        secret.clear();
        assert!(count(lab, b"g") == 0 && secret.is_empty() && secret.capacity() >= 800);
        secret.give_back();
        assert_eq!((secret.capacity(), lab.arena().stats().live), (0, 0));
    });
}

#[test]
fn where_there_is_no_room_nothing_is_lost() {
    with_lab(4096, |lab| {
        let mut secret = SecretVec::new(lab.arena());
        let error = loop {
            if let Err(error) = secret.push(0x5a_u8) {
                break error;
            }
        };
        assert!(matches!(error, AllocateError::Full { .. }), "{error:?}");
        let len = secret.len();
        assert!(len > 1000 && secret.capacity() == len);
        assert!(secret.with_secret(|bytes| bytes.iter().all(|&byte| byte == 0x5a)));
        let mut more = [1, 2, 3];
        secret.extend_wiping(&mut more).unwrap_err();
        assert_eq!((more, secret.len()), ([1, 2, 3], len));
        assert!(matches!(secret.reserve(usize::MAX), Err(AllocateError::TooLarge { .. })));
        secret.truncate(len - 3);
        secret.extend_wiping(&mut more).unwrap();
        assert_eq!((more, secret.len(), lab.arena().stats().live), ([0; 3], len, 1));
        let mut text = SecretString::new(lab.arena());
        assert_eq!(write!(text, "{:3000}", 7), Err(std::fmt::Error));
    });
}

/// Twice the room is a wish, not a need.
#[test]
fn the_last_room_is_used() {
    with_lab(3000, |lab| {
        let mut secret = SecretVec::with_capacity(lab.arena(), 1000).unwrap();
        secret.extend_from_slice(&[7_u8; 1000]).unwrap();
        assert!(Buffer::new(lab.arena(), 2000).is_err());
        secret.push(8).unwrap();
        assert_eq!(secret.capacity(), 1001);
    });
}

#[test]
fn other_values_are_aligned() {
    with_lab(1 << 14, |lab| {
        let mut words = SecretVec::<u128, _>::new(lab.arena());
        let mut bytes = SecretVec::new(lab.arena());
        for number in 0..40_u8 {
            words.push(u128::from(number) << 100).unwrap();
            bytes.push(number).unwrap();
            assert_eq!(words.expose_secret().as_ptr().addr() % align_of::<u128>(), 0);
        }
        words.expose_secret_mut()[3] = 5;
        let expected = |number: u128| if number == 3 { 5 } else { number << 100 };
        assert!(words.expose_secret().iter().copied().eq((0..40).map(expected)));
        let nothing = SecretVec::<(), _>::new(lab.arena());
        assert!(nothing.is_empty() && nothing.expose_secret().is_empty());
        let mut many = nothing;
        many.extend_from_slice(&[(); 1000]).unwrap();
        assert_eq!(many.len(), 1000);
    });
}

#[test]
fn what_was_opened_grows_where_it_is() {
    with_lab(1 << 14, |lab| {
        let enclave = Enclave::new(lab.arena()).unwrap();
        let mut record = [0; Enclave::record_len(8)];
        let sealed = enclave.seal("pässwor".as_bytes(), b"", &mut record[..]).unwrap();
        let opened = enclave.open(&sealed, b"").unwrap();
        let place = opened.expose_secret().as_ptr();
        let bytes = SecretVec::from_buffer(lab.arena(), opened);
        let mut text = SecretString::from_utf8(bytes).unwrap();
        assert_eq!(text.expose_secret().as_ptr(), place);
        text.push('d').unwrap();
        text.push('€').unwrap();
        assert!(text.expose_secret() == "pässword€" && text.constant_time_eq("pässword€"));
        text.pop();
        assert!(!text.constant_time_eq("pässword€") && text.expose_secret() == "pässword");
        // Of two bytes, one is not left.
        text.truncate(2);
        assert_eq!(text.expose_secret(), "p");
        let mut bytes = text.into_bytes();
        bytes.push(0xff).unwrap();
        let bytes = SecretString::from_utf8(bytes).unwrap_err().0;
        assert_eq!(bytes.expose_secret(), b"p\xff");
    });
}

/// What a growing secret is made to do.
#[derive(Clone, Debug)]
enum Step {
    Extend(Vec<u8>),
    Push(u8),
    Truncate(usize),
    Reserve(usize),
    Clear,
    Begin(usize),
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Extend),
        2 => any::<u8>().prop_map(Step::Push),
        2 => (0..400_usize).prop_map(Step::Truncate),
        1 => (0..900_usize).prop_map(Step::Reserve),
        1 => Just(Step::Clear),
        1 => (0..500_usize).prop_map(Step::Begin),
    ];
    prop::collection::vec((0..4_usize, step), 1..60)
}

fn play<'a, A: Allocate<Error = AllocateError> + Copy + 'a>(
    allocator: A,
    steps: Vec<(usize, Step)>,
) {
    let mut pairs: Vec<_> = (0..4).map(|_| (SecretVec::new(allocator), Vec::new())).collect();
    for (index, step) in steps {
        let (secret, model) = &mut pairs[index];
        let is_done = match step {
            Step::Extend(values) => {
                secret.extend_from_slice(&values).map(|()| model.extend_from_slice(&values)).is_ok()
            }
            Step::Push(value) => secret.push(value).map(|()| model.push(value)).is_ok(),
            Step::Truncate(len) => {
                secret.truncate(len);
                model.truncate(len);
                true
            }
            Step::Reserve(additional) => {
                let is_done = secret.reserve(additional).is_ok();
                assert!(!is_done || secret.capacity() >= secret.len() + additional);
                is_done
            }
            Step::Clear => {
                secret.clear();
                model.clear();
                true
            }
            Step::Begin(capacity) => match SecretVec::with_capacity(allocator, capacity) {
                Ok(new) => {
                    *secret = new;
                    model.clear();
                    true
                }
                Err(_) => false,
            },
        };
        // Done or not, nothing else has changed.
        for (secret, model) in &pairs {
            assert!(secret.constant_time_eq(model) && secret.len() == model.len(), "{is_done}");
        }
    }
}

proptest! {
    #[test]
    fn it_is_a_vec_that_may_be_refused(steps in steps(), len in 2500..8000_usize) {
        with_lab(len, |lab| play(lab.arena(), steps));
    }
}
