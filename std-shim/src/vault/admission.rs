//! Who is let in: the pools, the lines before them, and what is counted of both.
//!
//! ```text
//! now       at once, if there is room and nobody waits for it
//! within    in line, as a thread, until a deadline
//! poll      in line, as a task
//! released  by whoever drops an open secret: calls the next in line
//! ```
//! What no room would help is said before anybody waits: too long, forged, destroyed, forked.

use std::mem;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use strongroom_core::{Arena, Enclave, EntropyError};

use super::counts::Counts;
use super::error::{Denied, OpenError, Shortage, VaultError};
use super::fit;
use super::holding;
use super::lease::Lease;
use super::lingering::Lingering;
use super::options::Options;
use super::pool::{Grown, Patience, Pool};
use super::queue::{Call, Kind, Place, Queue, Shape, Topic};
use super::request::{Request, Requests};
use super::segment::{ENTRY, User, VaultOwner};
use crate::clones;
use crate::emergency;
use crate::entropy::OsEntropy;
use crate::pages::LockedPages;
use crate::windows::{Balance, WindowKind};

pub(super) struct Admission {
    pub(super) lingering: Lingering,
    pub(super) common: Desk,
    pub(super) reserves: Vec<(String, Desk)>,
    pub(super) counts: Counts,
    /// As many notices of clones as there had been when the enclave was made or renewed.
    renewed_at: AtomicU32,
}

/// An enclave that a call uses, which leaves no window open.
pub(super) struct EnclaveInUse<'v> {
    enclave: &'v Enclave<'v, VaultOwner>,
    _balance: Balance,
}

impl<'v> Deref for EnclaveInUse<'v> {
    type Target = Enclave<'v, VaultOwner>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        self.enclave
    }
}

/// Memory, and the line before it.
pub(super) struct Desk {
    pub(super) pool: Pool,
    pub(super) queue: Queue,
}

impl Desk {
    fn new(pool: Pool) -> Self {
        Self { pool, queue: Queue::default() }
    }
}

impl Admission {
    pub(super) fn new(options: &Options) -> Result<Self, VaultError> {
        if emergency::is_wiped() {
            return Err(VaultError::Wiped);
        }
        // Before anything random is drawn.
        let renewed_at = clones::notices().into();
        let (floor, ceiling) = (options.floor, options.ceiling);
        if ceiling < floor {
            return Err(VaultError::CeilingBelowFloor { floor, ceiling });
        }
        let common = Desk::new(Pool::new(floor, ceiling, options, true)?);
        let named = |(name, &bytes): (&String, &usize)| {
            Ok((name.clone(), Desk::new(Pool::new(bytes, bytes, options, false)?)))
        };
        let reserves = options.reserves.iter().map(named).collect::<Result<_, VaultError>>()?;
        let (lingering, counts) = (Lingering::default(), Counts::default());
        Ok(Self { lingering, common, reserves, counts, renewed_at })
    }

    /// The enclave of a process that may use it, for the time of a call.
    #[inline]
    pub(super) fn enclave(&self) -> Result<EnclaveInUse<'_>, OpenError> {
        self.check_process()?;
        let enclave = self.common.pool.lasting().enclave().ok_or(OpenError::Destroyed)?;
        Ok(EnclaveInUse { enclave, _balance: Balance::new() })
    }

    /// The same for who takes a number of it to seal with, or random bytes: renewed if this machine may have
    /// been cloned since. (A call of its own would cost a seal 25 instructions more.)
    #[inline(always)]
    pub(super) fn enclave_to_draw(&self) -> Result<EnclaveInUse<'_>, OpenError> {
        if self.renewed_at.load(Ordering::Acquire) != clones::notices() {
            self.renew()?;
        }
        self.enclave()
    }

    #[cold]
    pub(super) fn renew(&self) -> Result<(), OpenError> {
        let enclave = self.enclave()?;
        // What is told meanwhile is for the next time.
        let notices = clones::notices();
        enclave.renew(&mut OsEntropy).map_err(|EntropyError| self.without_entropy())?;
        self.renewed_at.store(notices, Ordering::Release);
        Ok(())
    }

    /// Fills `bytes` from the generator.
    pub(super) fn fill_random(&self, bytes: &mut [u8]) -> Result<(), OpenError> {
        let filled = self.enclave_to_draw()?.arena().try_fill_random(bytes);
        filled.map_err(|EntropyError| self.without_entropy())
    }

    /// What was wiped has no generator.
    #[cold]
    fn without_entropy(&self) -> OpenError {
        self.check_process().err().unwrap_or(OpenError::NoEntropy)
    }

    /// Whether this is the process that made the vault, and the vault is still there. Asks no lock.
    #[inline]
    pub(super) fn check_process(&self) -> Result<(), OpenError> {
        if self.common.pool.lasting().pages().is_inherited() {
            Err(OpenError::Forked)
        } else if emergency::is_wiped() {
            Err(OpenError::Destroyed)
        } else {
            Ok(())
        }
    }

    /// The same, and whether its key is there.
    #[cfg(feature = "store")]
    #[inline]
    pub(super) fn check(&self) -> Result<(), OpenError> {
        self.check_process()?;
        match self.common.pool.lasting().enclave() {
            Some(enclave) if !enclave.is_destroyed() => Ok(()),
            _ => Err(OpenError::Destroyed),
        }
    }

    /// What shuts the memory but for windows.
    pub(super) fn windows(&self) -> WindowKind {
        self.common.pool.lasting().pages().protections().windows
    }

    pub(super) fn desks(&self) -> impl Iterator<Item = &Desk> {
        std::iter::once(&self.common).chain(self.reserves.iter().map(|(_, desk)| desk))
    }

    /// Those who use a segment each, reserves last, as long as they are kept.
    pub(super) fn users(&self) -> impl Iterator<Item = User<'_>> {
        self.desks().flat_map(|desk| desk.pool.users())
    }

    /// Looks at all memory, the key's too if that lies apart, piece by piece.
    pub(super) fn look(&self, mut look: impl FnMut(&LockedPages, &Arena<'_, VaultOwner>)) {
        let _balance = Balance::new();
        self.users().for_each(|user| look(user.pages(), user.arena()));
        if let Some(memory) = self.common.pool.lasting().key_memory() {
            look(memory.pages(), memory.arena());
        }
    }

    /// How many secrets are open, or looked for room for, at this moment. Whoever was not counted any
    /// more has given its room back.
    pub(super) fn held(&self) -> usize {
        self.desks().map(|desk| desk.pool.held()).sum()
    }

    pub(super) fn waiters(&self) -> usize {
        self.desks().map(|desk| desk.queue.waiters()).sum()
    }

    /// Says that a secret was dropped.
    #[inline]
    pub(super) fn released(&self) {
        if self.is_waited_for() {
            self.call();
        }
    }

    /// Whether anybody waits, those that were passed not counted.
    #[inline]
    pub(super) fn is_waited_for(&self) -> bool {
        self.common.queue.len() > 0 || self.reserves.iter().any(|(_, own)| own.queue.len() > 0)
    }

    #[cold]
    fn call(&self) {
        match self.check_process() {
            Ok(()) => self.desks().for_each(|desk| desk.queue.room_made()),
            // A forked child has no line, and its copy of this one may be locked for good.
            Err(OpenError::Forked) => {}
            Err(_) => self.call_all(),
        }
    }

    /// Has all who wait look again.
    pub(super) fn call_all(&self) {
        self.desks().for_each(|desk| desk.queue.call_all());
    }

    #[inline]
    pub(super) fn everybody(&self) -> Party<'_> {
        Party { admission: self, own: None }
    }

    #[inline]
    pub(super) fn those_of<'v>(&'v self, own: &'v Desk) -> Party<'v> {
        Party { admission: self, own: Some(own) }
    }
}

/// Who asks: everybody, or those who name a reserve. They use the common memory while there is room
/// and nobody waits for it, and the reserve when not.
#[derive(Clone, Copy)]
pub(super) struct Party<'v> {
    pub(super) admission: &'v Admission,
    pub(super) own: Option<&'v Desk>,
}

/// What somebody asks for, until it is granted or refused.
pub(crate) trait Wish<'v> {
    type Granted;
    type Error: From<OpenError>;

    /// Grants or refuses it; `None` if it has to wait.
    fn attempt(&mut self, chance: Chance<'v>) -> Option<Result<Self::Granted, Self::Error>>;

    /// What it waits for, asked after an attempt.
    fn shape(&self) -> Shape;

    fn topic(&self) -> Topic {
        0
    }
}

/// A moment at which somebody may look for room.
#[derive(Clone, Copy)]
pub(crate) struct Chance<'v> {
    party: Party<'v>,
    patience: Patience,
    /// It waits in line, and was called. `None`: it has only just come.
    call: Option<Call>,
}

impl<'v> Chance<'v> {
    /// Does all that is requested; `None` if there is no room now.
    #[inline]
    pub(super) fn take<R: Requests + ?Sized>(
        self,
        requests: &R,
    ) -> Option<Result<R::Each<Lease<'v>>, OpenError>> {
        match self.call {
            Some(Call::ForRoom) => return self.party.attempt_in_line(requests, self.patience),
            Some(Call::ForTopic) => return None,
            None => {}
        }
        match self.party.enter(requests, self.patience) {
            Ok(leases) => Some(Ok(leases)),
            Err(Denied::Never(error)) => Some(Err(error)),
            Err(Denied::NotNow | Denied::NotYet) => None,
        }
    }
}

impl<'v, W: Wish<'v>> Wish<'v> for &mut W {
    type Granted = W::Granted;
    type Error = W::Error;

    fn attempt(&mut self, chance: Chance<'v>) -> Option<Result<W::Granted, W::Error>> {
        (**self).attempt(chance)
    }

    fn shape(&self) -> Shape {
        (**self).shape()
    }

    fn topic(&self) -> Topic {
        (**self).topic()
    }
}

impl<'v, R: Requests + ?Sized> Wish<'v> for &R {
    type Granted = R::Each<Lease<'v>>;
    type Error = OpenError;

    fn attempt(&mut self, chance: Chance<'v>) -> Option<Result<Self::Granted, OpenError>> {
        chance.take(*self)
    }

    fn shape(&self) -> Shape {
        shape((*self).all())
    }
}

/// A place in line, and since when.
pub(crate) struct Waiting<'v> {
    /// `None` once it was left.
    place: Option<Place<'v>>,
    admission: &'v Admission,
    begun: Instant,
}

impl<'v> Party<'v> {
    /// Does all that is requested, at once.
    #[inline]
    pub(super) fn now<R: Requests + ?Sized>(
        self,
        requests: &R,
    ) -> Result<R::Each<Lease<'v>>, OpenError> {
        self.enter(requests, Patience::Until(None)).map_err(|denied| match denied {
            Denied::Never(error) => error,
            Denied::NotNow | Denied::NotYet => OpenError::Full(self.refuse(shape(requests.all()))),
        })
    }

    /// Grants what is wished, waiting up to `timeout` for room.
    pub(super) fn within<W: Wish<'v>>(
        self,
        mut wish: W,
        timeout: Duration,
    ) -> Result<W::Granted, W::Error> {
        let begun = Instant::now();
        let deadline = begun.checked_add(timeout);
        if let Some(settled) = wish.attempt(self.chance(Patience::Until(deadline), None)) {
            return settled;
        }
        holding::say_if_waiting();
        let (shape, topic) = (wish.shape(), wish.topic());
        let settled = self.queue().wait(
            shape,
            topic,
            deadline,
            |call| wish.attempt(self.chance(Patience::Until(deadline), Some(call))),
            |settled, next| self.may_settle(settled, next),
        );
        self.admission.counts.waited(begun.elapsed());
        settled.unwrap_or_else(|| {
            let shortage = self.refuse(shape);
            Err(OpenError::TimedOut { waited: begun.elapsed(), shortage }.into())
        })
    }

    /// Grants what is wished as a task, which waits in line meanwhile.
    pub(super) fn poll<W: Wish<'v>>(
        self,
        mut wish: W,
        waiting: &mut Option<Waiting<'v>>,
        waker: &Waker,
    ) -> Poll<Result<W::Granted, W::Error>> {
        if let Err(error) = self.admission.check_process() {
            *waiting = None;
            return Poll::Ready(Err(error.into()));
        }
        let waits = if let Some(waits) = waiting {
            waits
        } else {
            // As long as there is something left to ask the system for, nobody waits in line: a task
            // waits for another that asks as it would for itself.
            if let Some(settled) = wish.attempt(self.chance(Patience::Until(None), None)) {
                return Poll::Ready(settled);
            }
            let place = self.queue().join(wish.shape(), wish.topic(), Kind::Task, waker);
            waiting.insert(Waiting {
                place: Some(place),
                admission: self.admission,
                begun: Instant::now(),
            })
        };
        let attempt = |call| wish.attempt(self.chance(Patience::None, Some(call)));
        let Some(settled) = waits.place.as_ref().and_then(|place| place.attempt(waker, attempt))
        else {
            return Poll::Pending;
        };
        self.admission.counts.waited(waits.begun.elapsed());
        if let Some(place) = waits.place.take() {
            place.leave(|next| self.may_settle(&settled, next));
        }
        *waiting = None;
        Poll::Ready(settled)
    }

    /// Grants what is wished, or says at once why not.
    #[cfg(feature = "store")]
    #[inline]
    pub(super) fn at_once<W: Wish<'v>>(self, mut wish: W) -> Result<W::Granted, W::Error> {
        wish.attempt(self.chance(Patience::Until(None), None))
            .unwrap_or_else(|| Err(OpenError::Full(self.refuse(wish.shape())).into()))
    }

    fn chance(self, patience: Patience, call: Option<Call>) -> Chance<'v> {
        Chance { party: self, patience, call }
    }

    #[inline]
    pub(super) fn queue(self) -> &'v Queue {
        self.own.map_or(&self.admission.common.queue, |own| &own.queue)
    }

    /// Does all that is requested if nobody waits and there is room, now or after growth.
    #[inline]
    fn enter<R: Requests + ?Sized>(
        self,
        requests: &R,
        patience: Patience,
    ) -> Result<R::Each<Lease<'v>>, Denied> {
        let enclave = self.admission.enclave()?;
        self.check_lengths(requests.all())?;
        let is_trimmed = self.admission.common.pool.trim_now_and_then();
        let is_free = self.queue().is_free();
        let opened = if is_free { self.open(&enclave, requests) } else { Err(Denied::NotNow) };
        if is_trimmed {
            self.admission.released();
        }
        match opened {
            Ok(leases) => Ok(leases),
            Err(Denied::NotNow) => self.enter_slowly(requests, is_free, patience),
            Err(denied) => Err(denied),
        }
    }

    /// The same, when there is no room at once.
    #[cold]
    fn enter_slowly<R: Requests + ?Sized>(
        self,
        requests: &R,
        is_free: bool,
        patience: Patience,
    ) -> Result<R::Each<Lease<'v>>, Denied> {
        if is_free {
            // What was taken for a moment may have been in the way of somebody in line by now.
            self.admission.released();
        }
        let enclave = self.admission.enclave()?;
        self.check_together(requests.all())?;
        for request in requests.all() {
            request.authenticate(&enclave)?;
        }
        if is_free { self.attempt(requests, patience) } else { Err(Denied::NotNow) }
    }

    /// What is too long by itself.
    #[inline]
    fn check_lengths(self, requests: &[Request<'_>]) -> Result<(), OpenError> {
        let largest = self.pools().map(Pool::longest).max().unwrap_or(0);
        match requests.iter().map(Request::len).find(|&len| len > largest) {
            Some(requested) => Err(OpenError::TooLarge { requested, largest }),
            None => Ok(()),
        }
    }

    /// What is too long together.
    fn check_together(self, requests: &[Request<'_>]) -> Result<(), OpenError> {
        let lens = || requests.iter().map(Request::len).collect();
        if requests.len() < 2 || fit::fit_together(self.pools(), lens()) {
            return Ok(());
        }
        let Shape { len, secrets } = shape(requests);
        Err(OpenError::NeverTogether { secrets, requested: len })
    }

    #[inline]
    fn pools(self) -> impl Iterator<Item = &'v Pool> + Clone {
        std::iter::once(&self.admission.common.pool).chain(self.own.map(|own| &own.pool))
    }

    /// Does all that is requested in the memory that is there, or nothing.
    #[inline]
    fn open<R: Requests + ?Sized>(
        self,
        enclave: &Enclave<'_, VaultOwner>,
        requests: &R,
    ) -> Result<R::Each<Lease<'v>>, Denied> {
        let mut is_most = false;
        let opened: Result<_, Denied> = requests.longest_first(|request| {
            let lease = self.open_one(enclave, request)?;
            is_most |= lease.user().is_most();
            Ok(lease)
        });
        // What was wiped meanwhile is no secret.
        if emergency::is_wiped() {
            return Err(Denied::Never(OpenError::Destroyed));
        }
        let leases = opened?;
        if is_most {
            self.admission.counts.saw(self.admission.held());
        }
        Ok(leases)
    }

    #[inline]
    fn open_one(
        self,
        enclave: &Enclave<'_, VaultOwner>,
        request: &Request<'_>,
    ) -> Result<Lease<'v>, Denied> {
        let Some(own) = self.own else {
            return self.admission.common.pool.open(enclave, request);
        };
        let common = if self.admission.common.queue.is_free() {
            self.admission.common.pool.open(enclave, request)
        } else {
            Err(Denied::NotNow)
        };
        match common {
            Err(Denied::NotNow) => own.pool.open(enclave, request),
            settled => settled,
        }
    }

    /// The same, and grows as long as that helps.
    fn attempt<R: Requests + ?Sized>(
        self,
        requests: &R,
        patience: Patience,
    ) -> Result<R::Each<Lease<'v>>, Denied> {
        let pool = &self.admission.common.pool;
        let all = requests.all();
        let longest = all.iter().map(Request::len).max().unwrap_or(0);
        let (mut is_grown, mut ended) = (false, 0);
        let settled = loop {
            let seen = pool.changes();
            let enclave = self.admission.enclave()?;
            let mut opened = self.open(&enclave, requests);
            if all.len() > 1 && matches!(opened, Err(Denied::NotNow)) {
                // The first ones may have been in the way of the last.
                self.reclaim();
                opened = self.open(&enclave, requests);
            }
            if !matches!(opened, Err(Denied::NotNow)) {
                break opened;
            }
            let is_others = self.own.is_some() && !self.admission.common.queue.is_free();
            let grown = if is_others {
                Grown::Denied
            } else {
                pool.grow(seen, shape(all).len, longest, patience)
            };
            match grown {
                Grown::Changed => is_grown = true,
                Grown::NotYet => break Err(Denied::NotYet),
                answer @ (Grown::Refused | Grown::Denied) => {
                    is_grown |= matches!(answer, Grown::Refused);
                    if !self.admission.lingering.end(&mut ended) {
                        break opened;
                    }
                }
                Grown::GaveUp => {
                    is_grown = true;
                    break Err(Denied::NotYet);
                }
            }
        };
        if is_grown {
            // There may be room for others, and who had to wait for the answer has it now.
            self.admission.released();
        }
        settled
    }

    /// `None` if it could be otherwise once somebody drops a secret.
    fn attempt_in_line<R: Requests + ?Sized>(
        self,
        requests: &R,
        patience: Patience,
    ) -> Option<Result<R::Each<Lease<'v>>, OpenError>> {
        // Whoever has left before is seen, and the room it made; whoever leaves later sees the line.
        self.admission.held();
        match self.attempt(requests, patience) {
            Ok(leases) => Some(Ok(leases)),
            Err(Denied::Never(error)) => Some(Err(error)),
            Err(Denied::NotNow) => self.attempt_alone(requests),
            Err(Denied::NotYet) => None,
        }
    }

    /// The same, where nothing is open: nobody is left who could make room by dropping something. What
    /// does not fit then is no use to wait for; damage may have put memory out of use since the vault was
    /// made, or the system may refuse to lock more.
    fn attempt_alone<R: Requests + ?Sized>(
        self,
        requests: &R,
    ) -> Option<Result<R::Each<Lease<'v>>, OpenError>> {
        if self.pools().any(|pool| pool.held() > 0) {
            return None;
        }
        let before = self.entries();
        self.reclaim();
        let opened = match self.open(&*self.admission.enclave().ok()?, requests) {
            Ok(leases) => return Some(Ok(leases)),
            Err(Denied::Never(error)) => return Some(Err(error)),
            Err(Denied::NotNow | Denied::NotYet) => self.entries(),
        };
        // It came to each segment once to reclaim and once to open, and nobody else did meanwhile.
        let own = opened.1 * 2;
        let is_alone = requests.all().len() == 1
            && opened.1 == before.1
            && opened.0.wrapping_sub(before.0) % ENTRY == own
            && self.pools().all(|pool| pool.held() == 0);
        if !is_alone {
            return None;
        }
        let wanted = shape(requests.all());
        let requested = wanted.len;
        if self.admission.common.pool.could_grow(requested) {
            return Some(Err(OpenError::Full(self.refuse(wanted))));
        }
        let largest = self.pools().map(Pool::longest_now).max().unwrap_or(0);
        Some(Err(OpenError::TooLarge { requested, largest }))
    }

    /// Gives back to each arena what its runs keep in which nothing is open.
    fn reclaim(self) {
        self.pools().flat_map(Pool::users).for_each(|user| user.arena().reclaim());
    }

    fn entries(self) -> (usize, usize) {
        let sum = |a: (usize, usize), b: (usize, usize)| (a.0.wrapping_add(b.0), a.1 + b.1);
        self.pools().map(Pool::entries).fold((0, 0), sum)
    }

    /// Whether the next in line may be served, or told something, after one who leaves so. Room is found
    /// by taking it for a moment; what this one was told perhaps holds for all, and nobody else says it.
    fn may_settle<T, E>(self, settled: &Result<T, E>, next: Shape) -> bool {
        if settled.is_err() {
            return true;
        }
        let request = Request::allocate(next.len);
        self.admission.enclave().is_ok_and(|enclave| self.open(&enclave, &request).is_ok())
    }

    fn refuse(self, wanted: Shape) -> Shortage {
        let admission = self.admission;
        admission.counts.refusals.fetch_add(1, Ordering::Relaxed);
        let capacity = admission.common.pool.users().map(|user| user.arena().capacity()).sum();
        Shortage {
            requested: wanted.len,
            held: admission.held(),
            capacity,
            waiters: self.queue().waiters(),
            growth_refused: admission.common.pool.is_refused(),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // The line of a forked child is not its own, and may be locked for good.
        if self.admission.check_process() == Err(OpenError::Forked) {
            mem::forget(self.place.take());
        }
    }
}

fn shape(requests: &[Request<'_>]) -> Shape {
    let len = requests.iter().fold(0, |sum: usize, request| sum.saturating_add(request.len()));
    Shape { len, secrets: requests.len() }
}
