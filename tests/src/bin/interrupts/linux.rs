//! The program, its handler, and the critical section that keeps them apart.

use std::cell::UnsafeCell;
use std::env;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use strongroom::OsEntropy;
use strongroom_core::{Arena, Buffer, Door, Enclave, Lock, Owner, Shards, Spin};

pub(crate) fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let time = Duration::from_secs(arguments[1].parse().unwrap());
    match arguments[0].as_str() {
        "masked" => run(Interrupts, time),
        "spin" => run(Spin::<16>, time),
        other => panic!("no lock is named {other}"),
    }
}

fn run<O: Owner + 'static>(owner: O, time: Duration) {
    let region = Box::leak(vec![MaybeUninit::uninit(); 1 << 20].into_boxed_slice());
    let arena = Arena::with_owner(region, &mut OsEntropy, owner).unwrap();
    let arena: &'static Arena<'static, O> = Box::leak(Box::new(arena));
    let enclave: &'static Enclave<'static, O> = Box::leak(Box::new(Enclave::new(arena).unwrap()));
    let handlers: &'static mut Side<O> = Box::leak(Box::new(Side::new(arena, enclave, 0x80)));
    HANDLERS.store(ptr::from_mut(handlers).cast(), Ordering::Release);

    let mut program = Side::new(arena, enclave, 0);
    let begun = Instant::now();
    interrupt_with(handle::<O>);
    while begun.elapsed() < time {
        program.work();
        if program.turn.is_multiple_of(64) {
            arena.verify().unwrap();
        }
    }
    stop_interrupts();
    let (turns, interrupts) = (program.turn, INTERRUPTS.load(Ordering::Acquire));
    program.end();
    // SAFETY: no handler runs any more, and nobody else has it.
    unsafe { &mut *HANDLERS.load(Ordering::Acquire).cast::<Side<O>>() }.end();
    arena.verify().unwrap();
    let stats = arena.stats();
    assert_eq!((stats.live, stats.faults, stats.quarantined), (2, 0, 0), "the key's shares remain");
    println!("interrupts {interrupts}, turns {turns}");
}

extern "C" fn handle<O: Owner + 'static>(_signal: i32) {
    // SAFETY: the pointer was stored before the first signal; this handler is not interrupted by
    // itself, and nobody else uses what it points to.
    let side = unsafe { &mut *HANDLERS.load(Ordering::Acquire).cast::<Side<O>>() };
    side.work();
    if side.turn.is_multiple_of(256) {
        side.arena.verify().unwrap();
        assert!(side.arena.stats().live > 0);
    }
    INTERRUPTS.fetch_add(1, Ordering::Relaxed);
}

/// What one of both does, and the secrets that it holds meanwhile.
struct Side<O: Owner + 'static> {
    arena: &'static Arena<'static, O>,
    enclave: &'static Enclave<'static, O>,
    secrets: [Option<Buffer<'static, O>>; SECRETS],
    /// The bit that tells the bytes of both apart.
    mark: u8,
    turn: usize,
}

impl<O: Owner> Side<O> {
    fn new(
        arena: &'static Arena<'static, O>,
        enclave: &'static Enclave<'static, O>,
        mark: u8,
    ) -> Self {
        Self { arena, enclave, secrets: [const { None }; SECRETS], mark, turn: 0 }
    }

    /// Ends one secret, and makes another.
    fn work(&mut self) {
        self.turn += 1;
        self.replace(self.turn % SECRETS);
        let mut random = [0; 300];
        self.arena.fill_random(&mut random);
        assert!(random.iter().any(|&byte| byte != 0));
        if self.turn.is_multiple_of(4) {
            self.seal_and_open(&random[..64]);
        }
        if self.turn.is_multiple_of(16) {
            self.enclave.refresh();
        }
    }

    fn replace(&mut self, place: usize) {
        self.check(place);
        self.secrets[place] = None;
        let len = SIZES[self.turn % SIZES.len()];
        let mut secret = Buffer::new(self.arena, len).unwrap();
        assert!(secret.expose_secret().iter().all(|&byte| byte == 0));
        secret.expose_secret_mut().fill(self.content(place));
        self.secrets[place] = Some(secret);
    }

    fn check(&self, place: usize) {
        if let Some(secret) = &self.secrets[place] {
            let content = self.content(place);
            assert!(secret.expose_secret().iter().all(|&byte| byte == content), "at {place}");
        }
    }

    fn content(&self, place: usize) -> u8 {
        self.mark | u8::try_from(place).unwrap()
    }

    fn seal_and_open(&self, secret: &[u8]) {
        let mut record = [0; Enclave::record_len(64)];
        let sealed = self.enclave.seal(secret, b"either", &mut record).unwrap();
        assert_eq!(self.enclave.open(&sealed, b"either").unwrap().expose_secret(), secret);
    }

    fn end(&mut self) {
        (0..SECRETS).for_each(|place| self.check(place));
        self.secrets = [const { None }; SECRETS];
    }
}

/// The owner of memory that a program and its signal handler share.
struct Interrupts;

impl Owner for Interrupts {
    type Lock = Masked;
    type Shards = Shards<1>;
    type Window<'o> = ();

    fn open(&self, _: Door) {}
}

/// A critical section: keeps the signal away, and what was kept away before.
struct Masked(UnsafeCell<MaybeUninit<libc::sigset_t>>);

// SAFETY: the program has one thread.
unsafe impl Send for Masked {}
// SAFETY: the cell is touched by the holder alone.
unsafe impl Sync for Masked {}

// SAFETY: the program has one thread, which is not interrupted while the signal is kept away.
unsafe impl Lock for Masked {
    const UNLOCKED: Self = Self(UnsafeCell::new(MaybeUninit::zeroed()));

    fn acquire(&self) {
        let mut before = MaybeUninit::uninit();
        let alarm = alarm();
        // SAFETY: both sets are valid during the call, which fills the second.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const alarm, before.as_mut_ptr()) };
        // SAFETY: the lock is held from here on.
        unsafe { *self.0.get() = before };
    }

    unsafe fn release(&self) {
        // SAFETY: the lock is held up to here.
        let before = unsafe { *self.0.get() };
        // SAFETY: the set was filled when the lock was acquired.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    }
}

fn alarm() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the call fills the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set is filled.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGALRM) };
    // SAFETY: likewise.
    unsafe { set.assume_init() }
}

fn interrupt_with(handler: extern "C" fn(i32)) {
    // SAFETY: all bits zero are an action without flags that keeps no other signal away.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the action is valid during the call; what the handler uses is in its place.
    assert_eq!(0, unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) });
    set_timer(EVERY);
}

fn stop_interrupts() {
    set_timer(0);
    let alarm = alarm();
    // One may have come in the meantime.
    // SAFETY: the set is valid during the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const alarm, ptr::null_mut()) };
}

fn set_timer(tv_usec: libc::suseconds_t) {
    let time = libc::timeval { tv_sec: 0, tv_usec };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: the timer is valid during the call.
    let status = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
    assert_eq!(status, 0);
}

/// The handler's side, of a type that `run` knows.
static HANDLERS: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static INTERRUPTS: AtomicU64 = AtomicU64::new(0);

/// Microseconds between two interrupts; no round number, so that they come everywhere.
const EVERY: libc::suseconds_t = 173;

const SECRETS: usize = 11;
/// Cells of most kinds, and blocks.
const SIZES: [usize; 8] = [16, 64, 200, 20_000, 32, 1_000, 3_000, 500];
