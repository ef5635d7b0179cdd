//! Wiping everything at once without a lock: for fatal signals, panic hooks and the process's end.
//!
//! Regions are kept in a list that only grows: nodes are used again and never freed, so it can be
//! walked at any moment, by a signal handler too.

use std::iter;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence,
};
use std::thread;

use crate::fork::Generation;
use crate::sys::{self, Backoff, KernelKey, ProtectionKey, Shutter};

/// Overwrites the locked memory of every vault of this process with zeros, keys included, and revokes
/// the shares of keys that the kernel keeps ([`KeyShare`](crate::KeyShare)).
///
/// It takes no lock, allocates nothing and is async-signal-safe (`signal-safety(7)`): call it in a
/// handler of a fatal signal, in a panic hook, or before `_exit(2)`. It is for a process that ends:
/// afterwards every call on every vault answers that it was destroyed, whatever is still open reads
/// as zeros, and nothing brings it back; those who wait for room learn of it when one of the open
/// secrets is dropped. No call, not even one that is going on, seals with a
/// wiped key or draws from a wiped generator. A thread that is decrypting at this very moment may still write
/// the rest of its secret; the wipe is done twice to make that unlikely.
///
/// ```standalone_crate
/// use strongroom::Vault;
///
/// let vault = Vault::new(64 * 1024)?;
/// let sealed = vault.seal(b"hunter2", b"")?;
/// let opened = vault.try_open(&sealed, b"")?;
/// strongroom::wipe_all();
/// assert_eq!(opened.expose_secret(), [0; 7]);
/// assert!(vault.try_open(&sealed, b"").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wipe_all() {
    WIPED.store(true, Ordering::SeqCst);
    // Who reads zeros, and then asks, learns of it.
    fence(Ordering::SeqCst);
    // Who began to shut memory before that ends with the next system call, unless it is the very thread
    // that this interrupted.
    for _ in 0..MOST_YIELDS {
        if SHUTTING.load(Ordering::SeqCst) == 0 {
            break;
        }
        thread::yield_now();
    }
    for _ in 0..2 {
        nodes().for_each(Node::wipe);
    }
}

/// Shuts memory, unless all was wiped: who wipes opens it, and it stays open then.
pub(crate) fn unless_wiped(shut: impl FnOnce()) {
    SHUTTING.fetch_add(1, Ordering::SeqCst);
    if !WIPED.load(Ordering::SeqCst) {
        shut();
    }
    SHUTTING.fetch_sub(1, Ordering::SeqCst);
}

/// What keeps a region from being wiped as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shut {
    Never,
    ByPages,
    /// For each thread by itself, a signal handler among them.
    ByKey(ProtectionKey),
}

/// Takes from everybody the keys that the kernel keeps for this process. Like [`wipe_all`], it takes no
/// lock and allocates nothing.
pub(crate) fn revoke_keys() {
    nodes().filter(|node| node.key.load(Ordering::Relaxed) != NO_KEY).for_each(Node::wipe);
}

fn nodes() -> impl Iterator<Item = &'static Node> {
    // SAFETY: nodes are leaked, so a pointer from the list stays valid.
    let node = |next: &AtomicPtr<Node>| unsafe { next.load(Ordering::Acquire).as_ref() };
    iter::successors(node(&FIRST), move |current| node(&current.next))
}

/// Whether [`wipe_all`] was called in this process.
#[inline]
pub(crate) fn is_wiped() -> bool {
    WIPED.load(Ordering::Relaxed)
}

/// A region's entry in the list.
pub(crate) struct Registration(&'static Node);

struct Node {
    next: AtomicPtr<Node>,
    /// The next one that nobody uses, in a list of those.
    next_unused: AtomicPtr<Node>,
    state: AtomicUsize,
    base: AtomicPtr<MaybeUninit<u8>>,
    len: AtomicUsize,
    /// What shuts it: [`NEVER`], [`BY_PAGES`], or a protection key's number.
    shut: AtomicU32,
    /// A key in the kernel's keyring instead of a region.
    key: AtomicI32,
    /// The process whose region this is.
    owner: AtomicUsize,
}

impl Registration {
    /// Enters a region, which must stay valid until [`end`](Self::end).
    pub(crate) fn new(region: NonNull<[MaybeUninit<u8>]>, shut: Shut) -> Self {
        Self::enter(region.as_ptr().cast(), region.len(), shut, NO_KEY)
    }

    /// Enters a key of the kernel's.
    pub(crate) fn of_key(key: KernelKey) -> Self {
        Self::enter(ptr::null_mut(), 0, Shut::Never, key.serial())
    }

    fn enter(base: *mut MaybeUninit<u8>, len: usize, shut: Shut, key: i32) -> Self {
        let node = Node::unused().unwrap_or_else(Node::add);
        node.base.store(base, Ordering::Relaxed);
        node.len.store(len, Ordering::Relaxed);
        let shut = match shut {
            Shut::Never => NEVER,
            Shut::ByPages => BY_PAGES,
            Shut::ByKey(key) => key.number(),
        };
        node.shut.store(shut, Ordering::Relaxed);
        node.key.store(key, Ordering::Relaxed);
        node.owner.store(Generation::current().number(), Ordering::Relaxed);
        node.state.store(IN_USE, Ordering::Release);
        Self(node)
    }

    /// Takes the region out; waits while another thread wipes it.
    ///
    /// It sleeps rather than lend its priority: a wipe takes as long as a memset, is done once in the
    /// life of a process, and whoever wipes may be a signal handler, which can take no lock.
    pub(crate) fn end(&self) {
        let out =
            |from| self.0.state.compare_exchange(from, UNUSED, Ordering::AcqRel, Ordering::Acquire);
        let mut backoff = Backoff::new();
        while out(IN_USE) == Err(WIPING) {
            backoff.wait();
        }
        self.0.next_unused.store(ptr::null_mut(), Ordering::Relaxed);
        self.0.put_back();
    }
}

impl Node {
    /// Claims a node that nobody uses any more.
    ///
    /// All of them are taken for a moment, and all but one put back: taking the first alone would go
    /// wrong if others took it, its next, and put it back meanwhile.
    fn unused() -> Option<&'static Self> {
        let first = UNUSED_NODES.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: nodes are leaked, so a pointer from the list stays valid.
        let node = unsafe { first.as_ref() }?;
        let rest = node.next_unused.load(Ordering::Relaxed);
        // SAFETY: as above.
        if let Some(rest) = unsafe { rest.as_ref() } {
            rest.put_back();
        }
        Some(node)
    }

    /// Puts a chain of unused nodes, which this is the first of, before those that are there.
    fn put_back(&'static self) {
        let first = ptr::from_ref(self).cast_mut();
        let nothing = ptr::null_mut();
        if UNUSED_NODES
            .compare_exchange(nothing, first, Ordering::Release, Ordering::Relaxed)
            .is_ok()
        {
            return;
        }
        // Others have put some there meanwhile.
        let mut last = self;
        // SAFETY: nodes are leaked, so a pointer from the list stays valid.
        while let Some(next) = unsafe { last.next_unused.load(Ordering::Relaxed).as_ref() } {
            last = next;
        }
        let mut there = UNUSED_NODES.load(Ordering::Relaxed);
        loop {
            last.next_unused.store(there, Ordering::Relaxed);
            let put = (Ordering::AcqRel, Ordering::Relaxed);
            match UNUSED_NODES.compare_exchange(there, first, put.0, put.1) {
                Ok(_) => return,
                Err(now) => there = now,
            }
        }
    }

    /// Adds a claimed node to the list. It is tried again only when another was added meanwhile, so
    /// nobody is waited for.
    fn add() -> &'static Self {
        let node: &'static Self = Box::leak(Box::new(Self {
            next: AtomicPtr::new(ptr::null_mut()),
            next_unused: AtomicPtr::new(ptr::null_mut()),
            state: AtomicUsize::new(UNUSED),
            base: AtomicPtr::new(ptr::null_mut()),
            len: AtomicUsize::new(0),
            shut: AtomicU32::new(NEVER),
            key: AtomicI32::new(NO_KEY),
            owner: AtomicUsize::new(0),
        }));
        let mut first = FIRST.load(Ordering::Relaxed);
        loop {
            node.next.store(first, Ordering::Relaxed);
            let pointer = ptr::from_ref(node).cast_mut();
            match FIRST.compare_exchange(first, pointer, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return node,
                Err(now) => first = now,
            }
        }
    }

    fn wipe(&self) {
        let claim =
            self.state.compare_exchange(IN_USE, WIPING, Ordering::AcqRel, Ordering::Relaxed);
        if claim.is_err() {
            return;
        }
        // A forked child has the list, but neither the regions nor a right to end its parent's keys.
        if self.owner.load(Ordering::Relaxed) == Generation::current().number() {
            if let Some(key) = KernelKey::from_serial(self.key.load(Ordering::Relaxed)) {
                key.revoke();
            }
            let base = self.base.load(Ordering::Relaxed);
            if let Some(base) = NonNull::new(base) {
                self.wipe_region(base, self.len.load(Ordering::Relaxed));
            }
        }
        self.state.store(IN_USE, Ordering::Release);
    }

    fn wipe_region(&self, base: NonNull<MaybeUninit<u8>>, len: usize) {
        let shut = self.shut.load(Ordering::Relaxed);
        let key = ![NEVER, BY_PAGES].contains(&shut);
        let key = key.then(|| ProtectionKey::from_number(shut)).filter(|key| !key.is_open());
        if let Some(key) = key {
            key.set_open(true);
        }
        if shut == BY_PAGES {
            // SAFETY: the region is mapped while it is entered. It stays open.
            let _ = unsafe { Shutter::new(base, len).set_open(true) };
        }
        // SAFETY: the region is mapped while it is entered, and it cannot be taken out while
        // it is being wiped. Whoever uses it at this moment reads zeros or its own bytes:
        // the process ends, and that is better than a secret that survives it.
        unsafe { sys::wipe_raw(base, len) };
        if let Some(key) = key {
            key.set_open(false);
        }
    }
}

static FIRST: AtomicPtr<Node> = AtomicPtr::new(ptr::null_mut());
static UNUSED_NODES: AtomicPtr<Node> = AtomicPtr::new(ptr::null_mut());
static WIPED: AtomicBool = AtomicBool::new(false);

/// Who shuts memory at this moment.
static SHUTTING: AtomicUsize = AtomicUsize::new(0);

/// How often another is given way to that may be in the middle of a system call, or may never come.
const MOST_YIELDS: usize = 1000;

const NO_KEY: i32 = 0;

/// No key of a protection has either number.
const NEVER: u32 = 0;
const BY_PAGES: u32 = u32::MAX;

const UNUSED: usize = 0;
const IN_USE: usize = 1;
const WIPING: usize = 2;
