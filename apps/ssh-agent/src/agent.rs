//! What the agent does for each message.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ssh_agent_lib::proto::{Identity, PublicCredential, Request, Response, SignRequest};
use ssh_agent_lib::ssh_key::Signature;
use ssh_agent_lib::ssh_key::public::KeyData;
use strongroom::{Backing, OwnedOpened, Sealed, Share, Vault, VaultError};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::clock;
use crate::confirm::Confirm;
use crate::held::{Entry, Held, fingerprint, fingerprint_of};
use crate::key::{AddError, Key, name};
use crate::log::{say, say_more};
use crate::message::{Message, Secret};
use crate::wire::Reader;

/// The agent: its keys, and the locked memory that they are opened in.
#[derive(Debug)]
pub(crate) struct Agent {
    /// Where keys are opened. Nobody who sends a message can use it up.
    keys: Share,
    /// Where messages with a secret go.
    room: Share,
    state: Mutex<State>,
    /// Wrong passwords since the last right one, in the hands of the one whose turn it is to try.
    wrong_tries: tokio::sync::Mutex<u32>,
    confirm: Confirm,
    /// The lifetime of keys that come without one.
    lifetime: Option<Duration>,
    /// A key was added that may expire before the others.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: Held,
    /// The password that the agent is locked with, sealed.
    password: Option<Arc<Sealed>>,
}

/// Why something was not done; the client is told no more than that it was not.
type Refused = String;

impl Agent {
    /// An agent without keys, whose memory takes `budget` bytes: half of it for messages.
    pub(crate) fn new(
        budget: usize,
        lifetime: Option<Duration>,
        confirm: Confirm,
    ) -> Result<Self, VaultError> {
        let page = strongroom::page_size();
        let for_keys = (budget / 2).next_multiple_of(page);
        let for_messages = budget.saturating_sub(for_keys);
        let vault = Vault::builder()
            .budget(for_messages..=for_messages)
            .reserve(RESERVE, for_keys)
            .backing(Backing::PreferSecretMemory)
            .build()?;
        let room = Arc::new(vault).share();
        let keys = room.reserve(RESERVE).unwrap_or_else(|| room.clone());
        Ok(Self {
            keys,
            room,
            state: Mutex::default(),
            wrong_tries: tokio::sync::Mutex::default(),
            confirm,
            lifetime,
            changed: Notify::new(),
        })
    }

    /// Where messages with a secret go.
    pub(crate) fn room(&self) -> &Share {
        &self.room
    }

    /// What was achieved for the memory, in words.
    pub(crate) fn memory(&self) -> String {
        let vault = self.room.vault();
        let kind = if vault.protections().secret_memory {
            "memory that the kernel itself does not see (memfd_secret)"
        } else {
            "locked memory"
        };
        format!("{} KiB of {kind}", vault.metrics().locked / 1024)
    }

    /// Does what a message asks for. Nobody is asked on behalf of a client who is `gone`.
    pub(crate) async fn respond(
        &self,
        message: Message,
        gone: impl Future<Output = ()> + Send,
    ) -> Response {
        let done = match message {
            Message::Secret(Secret::Add, body) => self.add(&body, false),
            Message::Secret(Secret::AddConstrained, body) => self.add(&body, true),
            Message::Secret(Secret::Lock, body) => self.lock(&body),
            Message::Secret(Secret::Unlock, body) => self.unlock(body).await,
            Message::Secret(Secret::Card, _) => Err("cards are not known here".into()),
            // `ssh-add -D` removes the keys of SSH's first version too.
            Message::Unknown(REMOVE_ALL_OF_VERSION_1) => return Response::Failure,
            Message::Unknown(kind) => Err(format!("a message of kind {kind} was not understood")),
            Message::Open(request) => return self.respond_openly(request, gone).await,
        };
        answer(done.map(|()| Response::Success))
    }

    async fn respond_openly(
        &self,
        request: Request,
        gone: impl Future<Output = ()> + Send,
    ) -> Response {
        let done = match request {
            Request::RequestIdentities => Ok(Response::IdentitiesAnswer(self.list())),
            Request::SignRequest(request) => {
                self.sign(request, gone).await.map(Response::SignResponse)
            }
            Request::RemoveIdentity(request) => self.remove(&request.credential).map(success),
            Request::RemoveAllIdentities => self.remove_all().map(success),
            // `ssh` tells on its own which host it talks to, and takes no for an answer.
            Request::Extension(_) => return Response::Failure,
            _ => Err("a message came where it cannot be".into()),
        };
        answer(done)
    }

    fn add(&self, body: &OwnedOpened, constrained: bool) -> Result<(), Refused> {
        if self.with_state(|state| state.password.is_some()) {
            return Err(LOCKED.into());
        }
        let added = body.with_secret(|body| self.read(body, constrained));
        let (public, entry) = added.map_err(|error| format!("a key was not added: {error}"))?;
        let told = {
            let (name, comment, confirm) = (fingerprint(&public), &entry.comment, entry.confirm);
            let lifetime = entry.expires.map(|expires| expires.saturating_sub(clock::now()));
            let lifetime =
                lifetime.map_or(String::new(), |time| format!(", for {} s", time.as_secs() + 1));
            let confirm = if confirm { ", to be allowed each time" } else { "" };
            format!("added {name} ({}){lifetime}{confirm}", name_of(comment))
        };
        let count = self.with_state(|state| {
            // Somebody may have locked the agent while the key was read.
            state.password.is_none().then(|| {
                state.held.add(&public, entry);
                state.held.len()
            })
        });
        let count = count.ok_or(LOCKED)?;
        self.changed.notify_one();
        say(|| format!("{told}; {count} in all"));
        Ok(())
    }

    /// Reads the key, the comment and the constraints out of a message.
    fn read(&self, body: &[u8], constrained: bool) -> Result<(KeyData, Entry), AddError> {
        let mut message = Reader::new(body);
        let (key, public) = Key::read(&self.keys, &mut message)?;
        let comment = message.string().ok_or(AddError::Malformed)?;
        let comment = String::from_utf8_lossy(comment).into();
        let (mut lifetime, mut confirm) = (self.lifetime, false);
        while constrained && !message.is_at_end() {
            match message.byte() {
                Some(CONSTRAIN_LIFETIME) => {
                    let seconds = message.number().ok_or(AddError::Malformed)?;
                    // OpenSSH has zero for a key that stays.
                    lifetime = Some(seconds).filter(|seconds| *seconds > 0).map(seconds_of);
                }
                Some(CONSTRAIN_CONFIRM) => confirm = true,
                Some(CONSTRAIN_EXTENSION) => {
                    let extension = message.string().ok_or(AddError::Malformed)?;
                    return Err(AddError::Constraint(name(extension)));
                }
                Some(other) => return Err(AddError::Constraint(other.to_string())),
                None => return Err(AddError::Malformed),
            }
        }
        if !message.is_at_end() {
            return Err(AddError::Malformed);
        }
        let expires = lifetime.map(|lifetime| clock::now().saturating_add(lifetime));
        Ok((public, Entry { key, comment, confirm, expires }))
    }

    fn list(&self) -> Vec<Identity> {
        let listed = self.with_state(|state| {
            state.password.is_none().then(|| (state.held.list(), state.held.len()))
        });
        let Some(((list, is_all), count)) = listed else { return Vec::new() };
        if !is_all {
            say_more(|| {
                format!(
                    "of {count} keys a client is shown the last {}: OpenSSH's take no longer list",
                    list.len()
                )
            });
        }
        list
    }

    async fn sign(
        &self,
        request: SignRequest,
        gone: impl Future<Output = ()> + Send,
    ) -> Result<Signature, Refused> {
        let PublicCredential::Key(public) = request.credential else {
            return Err("certificates are not kept here".into());
        };
        let mut entry = self.find(&public)?;
        if entry.confirm {
            let (name, comment) = (fingerprint(&public), name_of(&entry.comment));
            let question = format!("Allow use of key {comment}?\nKey fingerprint {name}.");
            let asked = self.confirm.ask(&question, gone).await;
            asked.map_err(|refusal| format!("{name} ({comment}) was not used: {refusal}"))?;
            // Meanwhile its time may have been up, or the agent been locked.
            let now = self.find(&public)?;
            if !Arc::ptr_eq(&entry, &now) {
                return Err(format!("{name} was added again while it was asked for: ask again"));
            }
            entry = now;
        }
        let signed = entry.key.sign(&request.data, request.flags);
        let name = || format!("{} ({})", fingerprint(&public), name_of(&entry.comment));
        match &signed {
            Ok(_) => say_more(|| format!("signed with {}", name())),
            Err(error) => return Err(format!("nothing was signed with {}: {error}", name())),
        }
        signed.map_err(|error| error.to_string())
    }

    fn find(&self, public: &KeyData) -> Result<Arc<Entry>, Refused> {
        self.with_state(|state| {
            if state.password.is_some() {
                return Err(LOCKED.into());
            }
            state.held.find(public).ok_or_else(|| "a key was asked for that is not here".into())
        })
    }

    fn remove(&self, credential: &PublicCredential) -> Result<(), Refused> {
        let PublicCredential::Key(public) = credential else {
            return Err("certificates are not kept here".into());
        };
        let removed = self.with_state(|state| {
            if state.password.is_some() { Err(LOCKED) } else { Ok(state.held.remove(public)) }
        })?;
        let entry = removed.ok_or("a key was to be removed that is not here")?;
        say(|| format!("removed {} ({})", fingerprint(public), name_of(&entry.comment)));
        Ok(())
    }

    fn remove_all(&self) -> Result<(), Refused> {
        let removed = self.with_state(|state| {
            if state.password.is_some() { Err(LOCKED) } else { Ok(state.held.remove_all()) }
        })?;
        say(|| format!("removed all keys, {}", removed.len()));
        Ok(())
    }

    /// Locks the agent with the password in a message, which is sealed.
    fn lock(&self, body: &OwnedOpened) -> Result<(), Refused> {
        let sealed = body.with_secret(|body| {
            let password = password_in(body)?;
            let sealed = self.keys.vault().seal(password, PASSWORD);
            sealed.map_err(|error| error.to_string())
        })?;
        self.with_state(|state| {
            if state.password.is_some() {
                return Err(LOCKED);
            }
            state.password = Some(Arc::new(sealed));
            Ok(())
        })?;
        say(|| "locked: no key is used or shown until it is unlocked (ssh-add -X)".into());
        Ok(())
    }

    /// Unlocks it. Who tries wrong passwords waits the longer the more they were, and all others who try
    /// wait behind them.
    async fn unlock(&self, body: OwnedOpened) -> Result<(), Refused> {
        let mut wrong_tries = self.wrong_tries.lock().await;
        let sealed = self.with_state(|state| state.password.clone());
        let sealed = sealed.ok_or("it is not locked")?;
        let opened = self.keys.open_timeout(&sealed, PASSWORD, SOON);
        let password = opened.map_err(|error| format!("the password was not opened: {error}"))?;
        let is_right = body.with_secret(|body| {
            password_in(body).is_ok_and(|tried| password.constant_time_eq(tried))
        });
        drop((body, password));
        if is_right {
            *wrong_tries = 0;
            let count = self.with_state(|state| {
                state.password = None;
                state.held.len()
            });
            say(|| format!("unlocked, with {count} keys"));
            return Ok(());
        }
        *wrong_tries = (*wrong_tries + 1).min(MOST_TRIES_COUNTED);
        let delay = DELAY * *wrong_tries;
        sleep(delay).await;
        Err(format!("wrong password, the answer was delayed by {} ms", delay.as_millis()))
    }

    /// Removes keys as soon as their time is up. It never ends.
    pub(crate) async fn remove_expired(&self) -> io::Result<()> {
        loop {
            let next = self.with_state(|state| state.held.next_expiry());
            // Timers stand still while the machine sleeps, so the clock is looked at now and then.
            let time = next.map_or(LONGEST_SLEEP, |next| next.saturating_sub(clock::now()));
            let _ = timeout(time.min(LONGEST_SLEEP), self.changed.notified()).await;
        }
    }

    /// Looks at what is held, without the keys whose time is up.
    fn with_state<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let expired = state.held.remove_expired(clock::now());
        let seen = look(&mut state);
        drop(state);
        for (public, entry) in expired {
            let name = || format!("{} ({})", fingerprint_of(&public), name_of(&entry.comment));
            say(|| format!("removed {}, its time is up", name()));
        }
        seen
    }
}

fn answer(done: Result<Response, Refused>) -> Response {
    done.unwrap_or_else(|refused| {
        say(|| refused);
        Response::Failure
    })
}

fn success((): ()) -> Response {
    Response::Success
}

/// The one `string` that is all of a message.
fn password_in(body: &[u8]) -> Result<&[u8], Refused> {
    let mut message = Reader::new(body);
    let password = message.string().filter(|_| message.is_at_end());
    password.ok_or_else(|| "a password came in a damaged message".into())
}

/// A comment, fit to be shown.
fn name_of(comment: &str) -> String {
    name(comment.as_bytes())
}

fn seconds_of(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// The part of the locked memory that keys are opened in.
const RESERVE: &str = "keys";

/// Keys are open for a moment only.
const SOON: Duration = Duration::from_secs(1);

/// What the password's record is for.
const PASSWORD: &[u8] = b"password";

const LOCKED: &str = "the agent is locked: unlock it first (ssh-add -X)";

/// `SSH_AGENTC_REMOVE_ALL_RSA_IDENTITIES`.
const REMOVE_ALL_OF_VERSION_1: u8 = 9;

/// `SSH_AGENT_CONSTRAIN_LIFETIME` and others (draft-miller-ssh-agent, section 6.4).
const CONSTRAIN_LIFETIME: u8 = 1;
const CONSTRAIN_CONFIRM: u8 = 2;
const CONSTRAIN_EXTENSION: u8 = 255;

/// What a wrong password costs, times the number of them: as with OpenSSH's agent.
const DELAY: Duration = Duration::from_millis(100);
const MOST_TRIES_COUNTED: u32 = 100;

const LONGEST_SLEEP: Duration = Duration::from_secs(30);
