//! What is secret about a key: itself in every form that the crates keep it in, what is derived from it,
//! and the one-time secrets of an operation.

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use chacha20poly1305::ChaCha20Poly1305;
use curve25519_dalek::Scalar;
use curve25519_dalek::scalar::clamp_integer;
use ed25519_dalek::SigningKey;
use p256::elliptic_curve::PrimeField;
use p256::elliptic_curve::ops::Reduce;
use p256::pkcs8::PrivateKeyInfoRef;
use rsa::pkcs1::RsaPrivateKeyRef;
use rsa::pkcs1::der::Decode;
use sha2::{Digest, Sha256, Sha512};
use strongroom_keys::aead::{AeadInOut, KeyInit};

use super::child::{NONCE, THEIRS};

pub(super) type Pattern = (&'static str, Vec<u8>);

/// RFC 8032, section 5.1.6.
pub(super) fn ed25519(seed: &[u8], message: Option<&[u8]>) -> Vec<Pattern> {
    let expanded: [u8; 64] = Sha512::digest(seed).into();
    let (lower, prefix) = expanded.split_at(32);
    let clamped = clamp_integer(lower.try_into().unwrap());
    let scalar = Scalar::from_bytes_mod_order(clamped);
    let mut secrets: Vec<Pattern> = vec![
        ("the seed", seed.into()),
        ("the expanded key", expanded.into()),
        ("the clamped scalar", clamped.into()),
        ("the scalar", scalar.to_bytes().into()),
    ];
    if let Some(message) = message {
        let wide: [u8; 64] = Sha512::digest([prefix, message].concat()).into();
        let nonce = Scalar::from_bytes_mod_order_wide(&wide);
        secrets.push(("the nonce's hash", wide.into()));
        secrets.push(("the nonce", nonce.to_bytes().into()));
    }
    secrets
}

pub(super) fn ed25519_pem(text: &[u8], public: &[u8]) -> Vec<Pattern> {
    let der = decoded(text);
    let seed = &der[der.len() - 32..];
    let key = SigningKey::from_bytes(seed.try_into().unwrap());
    assert_eq!(key.verifying_key().as_bytes()[..], *public);
    [ed25519(seed, None), text_of(text)].concat()
}

pub(super) fn ed25519_openssh(text: &[u8], public: &[u8]) -> Vec<Pattern> {
    let bytes = decoded(text);
    // The seed goes before the public key, whose third place this is.
    let last = bytes.windows(32).rposition(|window| window == public).unwrap();
    // What is not secret of the text is its beginning.
    let mut secrets = ed25519(&bytes[last - 32..last], None);
    secrets.push(("the text", text_of(text)[0].1[200..].into()));
    secrets
}

/// SEC 1: the nonce is `(z + r d) / s`.
pub(super) fn p256(scalar: &[u8], signed: Option<(&[u8], &[u8])>) -> Vec<Pattern> {
    let number = |bytes: &[u8]| {
        let bytes: [u8; 32] = bytes.try_into().unwrap();
        p256::Scalar::from_repr(bytes.into()).unwrap()
    };
    let own = number(scalar);
    let mut secrets = forms("the scalar", &own);
    if let Some((message, signature)) = signed {
        let (r, s) = signature.split_at(32);
        let hash: [u8; 32] = Sha256::digest(message).into();
        let hash = <p256::Scalar as Reduce<p256::FieldBytes>>::reduce(&hash.into());
        let nonce = (hash + number(r) * own) * number(s).invert().unwrap();
        secrets.extend(forms("the nonce", &nonce));
        secrets.extend(forms("the nonce's inverse", &nonce.invert().unwrap()));
    }
    secrets
}

/// A number as bytes from either end, which are limbs too, and in Montgomery's form.
fn forms(name: &'static str, number: &p256::Scalar) -> Vec<Pattern> {
    let montgomery = (0..256).fold(*number, |number, _| number + number);
    let both = [*number, montgomery].into_iter().flat_map(|number| {
        let bytes: Vec<u8> = number.to_repr().to_vec();
        let reversed = bytes.iter().rev().copied().collect();
        [bytes, reversed]
    });
    both.map(|bytes| (name, bytes)).collect()
}

pub(super) fn p256_pem(text: &[u8], public: &[u8]) -> Vec<Pattern> {
    let der = decoded(text);
    let scalar = &der[36..68];
    check_p256(scalar, public);
    // Behind the private key is the public key, and before it what all keys have.
    let text = &text_of(text)[0].1[48..92];
    [p256(scalar, None), vec![("the text", text.into())]].concat()
}

pub(super) fn p256_openssh(text: &[u8], public: &[u8]) -> Vec<Pattern> {
    let bytes = decoded(text);
    let last = bytes.windows(65).rposition(|window| window == public).unwrap();
    // The number goes behind the public key, after its length.
    let mut number = &bytes[last + 65..];
    let len = usize::try_from(u32::from_be_bytes(number[..4].try_into().unwrap())).unwrap();
    number = &number[4..4 + len];
    let scalar = &number[len - 32..];
    check_p256(scalar, public);
    p256(scalar, None)
}

fn check_p256(scalar: &[u8], public: &[u8]) {
    let key = p256::ecdsa::SigningKey::from_slice(scalar).unwrap();
    assert_eq!(key.verifying_key().to_sec1_point(false).as_bytes(), public);
}

pub(super) fn x25519(scalar: &[u8], agreed: bool) -> Vec<Pattern> {
    let scalar: [u8; 32] = scalar.try_into().unwrap();
    let clamped = clamp_integer(scalar);
    let mut secrets: Vec<Pattern> = vec![
        ("the scalar", scalar.into()),
        ("the clamped scalar", clamped.into()),
        ("the reduced scalar", Scalar::from_bytes_mod_order(clamped).to_bytes().into()),
    ];
    if agreed {
        secrets.push(("the shared secret", x25519_dalek::x25519(scalar, THEIRS).into()));
    }
    secrets
}

/// RFC 8439: the key of the tag is the first block's half, the text's stream comes behind it.
pub(super) fn chacha20(key: &[u8]) -> Vec<Pattern> {
    let mut stream = [0; 64];
    let cipher = ChaCha20Poly1305::new_from_slice(key).unwrap();
    cipher.encrypt_inout_detached(&NONCE.into(), b"", (&mut stream[..]).into()).unwrap();
    let mut first = [0; 64];
    let key_array: [u8; 32] = key.try_into().unwrap();
    first_block(&key_array, &mut first);
    vec![
        ("the key", key.into()),
        ("the tag's key", first[..32].into()),
        ("the stream", stream[..43].into()),
    ]
}

/// The first block of the keystream, which no crate of this test shows: computed by hand.
fn first_block(key: &[u8; 32], block: &mut [u8; 64]) {
    let mut state = [0_u32; 16];
    state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
    let words = key.as_chunks().0.iter().chain(&[[0; 4]]).chain(NONCE.as_chunks().0);
    for (place, word) in state[4..].iter_mut().zip(words) {
        *place = u32::from_le_bytes(*word);
    }
    let mut mixed = state;
    let mut quarter = |a: usize, b: usize, c: usize, d: usize| {
        for (x, y, z, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
            mixed[x] = mixed[x].wrapping_add(mixed[y]);
            mixed[z] = (mixed[z] ^ mixed[x]).rotate_left(by);
        }
    };
    for _ in 0..10 {
        (0..4).for_each(|n| quarter(n, 4 + n, 8 + n, 12 + n));
        (0..4).for_each(|n| quarter(n, 4 + (n + 1) % 4, 8 + (n + 2) % 4, 12 + (n + 3) % 4));
    }
    for (bytes, (word, old)) in block.as_chunks_mut().0.iter_mut().zip(mixed.iter().zip(state)) {
        *bytes = word.wrapping_add(old).to_le_bytes();
    }
}

/// FIPS 197: the round keys; SP 800-38D: the hash's key, and the stream.
pub(super) fn aes256(key: &[u8]) -> Vec<Pattern> {
    let cipher = Aes256::new_from_slice(key).unwrap();
    let encrypt = |block: [u8; 16]| -> [u8; 16] {
        let mut block = block.into();
        cipher.encrypt_block(&mut block);
        block.into()
    };
    let hash_key = encrypt([0; 16]);
    let mut reversed = hash_key;
    reversed.reverse();
    let number = u128::from_le_bytes(reversed);
    let top = number >> 127;
    let shifted = (number << 1) ^ top ^ (top << 127) ^ (top << 126) ^ (top << 121);
    let mut secrets: Vec<Pattern> = vec![
        ("the key", key.into()),
        ("the hash's key", hash_key.into()),
        ("the hash's key", reversed.into()),
        ("the hash's key", shifted.to_le_bytes().into()),
    ];
    for counter in 1..4_u32 {
        let mut block = [0; 16];
        block[..12].copy_from_slice(&NONCE);
        block[12..].copy_from_slice(&counter.to_be_bytes());
        secrets.push(("the stream", encrypt(block).into()));
    }
    for round_key in round_keys(key).as_chunks::<16>().0 {
        secrets.push(("a round key", round_key.into()));
    }
    secrets
}

fn round_keys(key: &[u8]) -> Vec<u8> {
    let mut words: Vec<[u8; 4]> = key.as_chunks().0.to_vec();
    let mut constant = 1_u8;
    for n in 8..60 {
        let mut word = words[n - 1];
        if n % 8 == 0 {
            word.rotate_left(1);
            word = word.map(substitute);
            word[0] ^= constant;
            constant <<= 1;
        } else if n % 8 == 4 {
            word = word.map(substitute);
        }
        let before = words[n - 8];
        words.push(std::array::from_fn(|at| word[at] ^ before[at]));
    }
    words.concat()
}

/// FIPS 197, section 5.1.1.
fn substitute(byte: u8) -> u8 {
    let multiply = |mut a: u8, mut b: u8| {
        let mut product = 0;
        while b > 0 {
            product ^= a * (b & 1);
            a = (a << 1) ^ (0x1b * (a >> 7));
            b >>= 1;
        }
        product
    };
    // To the power of 254, which is the inverse.
    let inverse = (0..253).fold(byte, |power, _| multiply(power, byte));
    (0..5).fold(0x63, |sum, by| sum ^ inverse.rotate_left(by))
}

/// The numbers, and the text, which begins with the modulus, which is public.
pub(super) fn rsa_pem(text: &[u8], _answer: &[u8]) -> Vec<Pattern> {
    let lines = text_of(text).remove(0).1[450..].to_vec();
    [rsa_generated(&[], &decoded(text)), vec![("the text", lines)]].concat()
}

/// All numbers that are not public, from either end.
pub(super) fn rsa_generated(_input: &[u8], der: &[u8]) -> Vec<Pattern> {
    let info = PrivateKeyInfoRef::try_from(der).unwrap();
    let key = RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).unwrap();
    let numbers = [
        ("the exponent", key.private_exponent),
        ("a prime", key.prime1),
        ("a prime", key.prime2),
        ("an exponent", key.exponent1),
        ("an exponent", key.exponent2),
        ("the coefficient", key.coefficient),
    ];
    let both = numbers.into_iter().flat_map(|(name, number)| {
        let bytes = number.as_bytes().to_vec();
        let reversed = bytes.iter().rev().copied().collect();
        [(name, bytes), (name, reversed)]
    });
    both.collect()
}

/// The text between its first and its last line.
fn text_of(pem: &[u8]) -> Vec<Pattern> {
    let pem = str::from_utf8(pem).unwrap();
    let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    vec![("the text", lines.join("\n").into_bytes())]
}

fn decoded(pem: &[u8]) -> Vec<u8> {
    let width = str::from_utf8(pem).unwrap().lines().nth(1).unwrap().len();
    let mut decoder = pem_rfc7468::Decoder::new_wrapped(pem, width).unwrap();
    let mut bytes = vec![0; decoder.remaining_len()];
    decoder.decode(&mut bytes).unwrap();
    bytes
}
