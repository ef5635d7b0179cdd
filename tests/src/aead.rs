//! The cipher beside another implementation of RFC 8439: the `chacha20poly1305` crate.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use strongroom_core::internals;

use crate::noise::Noise;
use crate::script::Script;

/// Seals and opens what `bytes` spell with both; panics where they differ, or where a changed text
/// is opened.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    Case::decode(&mut script).check(&mut script);
}

/// One message.
struct Case {
    key: [u8; 32],
    nonce: [u8; 12],
    context: Vec<u8>,
    plaintext: Vec<u8>,
}

impl Case {
    fn decode(script: &mut Script<'_>) -> Self {
        let mut noise = Noise(script.short() as u64);
        let context = length(script);
        let plaintext = length(script);
        Self {
            key: noise.bytes(32).try_into().unwrap(),
            nonce: noise.bytes(12).try_into().unwrap(),
            context: noise.bytes(context),
            plaintext: noise.bytes(plaintext),
        }
    }

    fn check(&self, script: &mut Script<'_>) {
        let Self { key, nonce, context, plaintext } = self;
        let (expected, expected_tag) = self.by_the_other();

        let mut ciphertext = vec![0; plaintext.len()];
        let tag = internals::seal(key, nonce, context, plaintext, &mut ciphertext);
        assert!(ciphertext == expected && tag == expected_tag, "sealed otherwise");

        let mut text = plaintext.clone();
        let tag = internals::seal_in_place(key, nonce, context, &mut text);
        assert!(text == expected && tag == expected_tag, "sealed otherwise in place");

        assert_eq!(self.open(context, &ciphertext, tag).as_ref(), Some(plaintext));
        while !script.is_empty() {
            self.refuse_changed(script, &ciphertext, tag);
        }
    }

    fn by_the_other(&self) -> (Vec<u8>, [u8; 16]) {
        let cipher = ChaCha20Poly1305::new(&self.key.into());
        let mut text = self.plaintext.clone();
        let inout = text.as_mut_slice().into();
        let tag = cipher.encrypt_inout_detached(&self.nonce.into(), &self.context, inout).unwrap();
        (text, tag.into())
    }

    /// Opens in both ways, which agree, and leave everything as it was if the tag is wrong.
    fn open(&self, context: &[u8], ciphertext: &[u8], tag: [u8; 16]) -> Option<Vec<u8>> {
        let (mut apart, mut text) = (vec![0xa5; ciphertext.len()], ciphertext.to_vec());
        let opened = internals::open(&self.key, &self.nonce, context, ciphertext, &tag, &mut apart);
        let in_place = internals::open_in_place(&self.key, &self.nonce, context, &mut text, &tag);
        assert_eq!(opened, in_place);
        if opened {
            assert!(apart == text, "opened otherwise in place");
            return Some(text);
        }
        assert!(apart.iter().all(|&byte| byte == 0xa5), "written before the tag was checked");
        assert!(text == ciphertext, "changed before the tag was checked");
        None
    }

    /// Changes the context, the ciphertext or the tag, and finds it refused.
    fn refuse_changed(&self, script: &mut Script<'_>, ciphertext: &[u8], mut tag: [u8; 16]) {
        let (mut context, mut ciphertext) = (self.context.clone(), ciphertext.to_vec());
        let (what, at, mask) = (script.byte(), script.short(), script.byte().max(1));
        match what % 8 {
            0 => ciphertext.push(mask),
            1 => context.push(mask),
            2 if ciphertext.pop().is_some() => {}
            3 if context.pop().is_some() => {}
            4 | 5 if !ciphertext.is_empty() => {
                let at = at % ciphertext.len();
                ciphertext[at] ^= mask;
            }
            6 if !context.is_empty() => {
                let at = at % context.len();
                context[at] ^= mask;
            }
            _ => tag[at % 16] ^= mask,
        }
        assert_eq!(self.open(&context, &ciphertext, tag), None, "opened though changed");
    }
}

/// Mostly short; seldom more than the length from which another implementation of Poly1305 is used.
fn length(script: &mut Script<'_>) -> usize {
    match script.byte() {
        kind @ 0..200 => usize::from(kind),
        200..240 => script.short() % 2048,
        240..254 => script.short() % 16_384,
        _ => 60_000 + script.short() % 12_000,
    }
}
