//! The keys that the agent holds, by their public keys, in the order in which they were added.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use ssh_agent_lib::proto::{Identity, PublicCredential};
use ssh_agent_lib::ssh_encoding::{Decode, Encode};
use ssh_agent_lib::ssh_key::HashAlg;
use ssh_agent_lib::ssh_key::public::KeyData;

use crate::key::Key;

/// A key with what was asked for when it was added.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) comment: Box<str>,
    pub(crate) confirm: bool,
    /// By [`clock::now`](crate::clock::now).
    pub(crate) expires: Option<Duration>,
}

/// All keys, each under its public key as SSH writes it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    keys: IndexMap<Box<[u8]>, Arc<Entry>>,
    /// No key expires before this; it may have been removed meanwhile.
    next_expiry: Option<Duration>,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        self.next_expiry
    }

    /// Takes a key in, in the place of the same one that was added earlier.
    pub(crate) fn add(&mut self, public: &KeyData, entry: Entry) {
        if let Some(expires) = entry.expires {
            self.next_expiry = Some(self.next_expiry.map_or(expires, |next| next.min(expires)));
        }
        self.keys.insert(blob(public).into(), Arc::new(entry));
    }

    pub(crate) fn find(&self, public: &KeyData) -> Option<Arc<Entry>> {
        self.keys.get(&*blob(public)).map(Arc::clone)
    }

    /// Returns what was removed, so that it is dropped where no lock is held.
    pub(crate) fn remove(&mut self, public: &KeyData) -> Option<Arc<Entry>> {
        self.keys.shift_remove(&*blob(public))
    }

    pub(crate) fn remove_all(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Removes the keys whose time is up.
    pub(crate) fn remove_expired(&mut self, now: Duration) -> Vec<(Box<[u8]>, Arc<Entry>)> {
        if self.next_expiry.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let is_expired = |entry: &Entry| entry.expires.is_some_and(|expires| expires <= now);
        let expired = self.keys.extract_if(.., |_, entry| is_expired(entry)).collect();
        self.next_expiry = self.keys.values().filter_map(|entry| entry.expires).min();
        expired
    }

    /// What clients are shown: all, or the last that OpenSSH's clients take; and whether it is all.
    pub(crate) fn list(&self) -> (Vec<Identity>, bool) {
        let mut bytes = 0;
        let mut list: Vec<_> = Vec::new();
        for (blob, entry) in self.keys.iter().rev() {
            bytes += 8 + blob.len() + entry.comment.len();
            if list.len() == MOST_LISTED || bytes > LONGEST_LIST {
                break;
            }
            // It was written from one.
            if let Ok(public) = KeyData::decode(&mut &**blob) {
                let credential = PublicCredential::Key(public);
                list.push(Identity { credential, comment: entry.comment.to_string() });
            }
        }
        list.reverse();
        let is_all = list.len() == self.keys.len();
        (list, is_all)
    }
}

/// A public key as SSH writes it.
fn blob(public: &KeyData) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A vector takes whatever there is memory for.
    let _ = public.encode(&mut bytes);
    bytes
}

/// The name that people know a key by.
pub(crate) fn fingerprint(public: &KeyData) -> String {
    public.fingerprint(HashAlg::Sha256).to_string()
}

/// The same of a key as SSH writes it.
pub(crate) fn fingerprint_of(mut blob: &[u8]) -> String {
    KeyData::decode(&mut blob).map_or_else(|_| "a key".into(), |public| fingerprint(&public))
}

/// As many as OpenSSH's clients take: with one more they refuse the whole list (`MAX_AGENT_IDENTITIES`).
const MOST_LISTED: usize = 2048;

/// Bytes of a list that they take (`MAX_AGENT_REPLY_LEN`), less what is before it.
const LONGEST_LIST: usize = 256 * 1024 - 16;
