//! The line of those who wait for room: first come, first served.
//!
//! ```text
//! asleep     in line, with a waker
//! called     woken, its waker taken; it may try. Whoever is called comes back asleep if it fails
//! uncalled   woken, but one before it has found no room since: it may not try, unless it is called anew
//! passed     was woken and did not come in time; keeps its place, but nobody waits for it
//! ```
//! Room that is made calls the first who is not called. So those who are called for the same stand at the
//! front, and none of them is called for room that was found taken. Whoever is served or gives up calls
//! the next only if nobody before that is called, who will do so.
//!
//! Threads and tasks stand in one line: both are woken through a [`Waker`]. No waker is cloned, woken or
//! dropped while the line is locked: that is code of the caller's, and may come back here. One that panics
//! when it is woken is a stranger to whoever makes room or looks after the line: the panic ends there, and
//! the others are woken too.
//!
//! A task that was called may never be polled again, and has no clock. So while a task waits with
//! others, or a short secret behind a long one, a thread looks after the line
//! ([`watch`](super::watch)).

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::sync::{AtomicUsize, Mutex, apart, fence, thread};
use super::watch;

/// Those who wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Default)]
pub(super) struct Shared {
    line: Mutex<Line>,
    /// How many are asleep or called, for those who would rather not lock the line.
    present: AtomicUsize,
}

#[derive(Default)]
struct Line {
    present: BTreeMap<u64, Waiter>,
    passed: BTreeMap<u64, Waiter>,
    next_ticket: u64,
    /// How often room was made, and how often somebody tried in vain.
    events: u64,
    failures: u64,
    /// Tasks have been in the line, or lengths that differ, since it was last empty.
    has_tasks: bool,
    is_mixed: bool,
    /// How many are called at once after somebody was passed: twice as many each time, until one who
    /// was called comes.
    calls: usize,
    /// How many were passed since others were called in the place of such.
    just_passed: usize,
    is_watched: bool,
}

struct Waiter {
    shape: Shape,
    kind: Kind,
    /// `None` once it was woken.
    waker: Option<Waker>,
    /// Since when it is awake and has not come.
    woken: Option<Instant>,
    call: Option<Call>,
    /// Since when it is first in line and finds no room.
    blocked: Option<Instant>,
    /// The event at which it was last called for room, if it ever was.
    seen: Option<u64>,
    topic: Topic,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The bytes of all secrets.
    pub(crate) len: usize,
    pub(crate) secrets: usize,
}

/// What may also come from somebody else who opens the same, as a number; 0 if nothing may.
pub(crate) type Topic = u64;

/// What whoever is called may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    /// Have what its topic names from somebody else: there may be room, but for those before it.
    ForTopic,
    ForRoom,
}

/// Who waits: whether it is sure to come when it is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Thread,
    Task,
}

impl Queue {
    /// How many wait, those that were passed not counted.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.present.load(Ordering::SeqCst)
    }

    /// Whether nobody waits whom a newcomer would overtake.
    #[inline]
    pub(super) fn is_free(&self) -> bool {
        self.len() == 0 || self.0.changed(|line| line.pass(Instant::now())).1 == 0
    }

    /// How many wait, those that were passed included.
    pub(super) fn waiters(&self) -> usize {
        let line = self.0.line.lock();
        line.present.len() + line.passed.len()
    }

    /// Says that there may be room. Called after the room was made, in the order of all `SeqCst`
    /// operations.
    #[inline]
    pub(super) fn room_made(&self) {
        if self.len() > 0 {
            self.call_next();
        }
    }

    /// Has all try again: none of them will wait any longer.
    pub(super) fn call_all(&self) {
        self.0.call_all();
    }

    /// Says that what those wait for who named this topic can be had without room.
    #[cfg_attr(
        not(feature = "store"),
        expect(dead_code, reason = "nobody else shares what is open")
    )]
    #[inline]
    pub(super) fn opened(&self, topic: Topic) {
        if self.len() > 0 {
            self.0.call_where(Call::ForTopic, |waiter| waiter.topic == topic);
        }
    }

    /// Takes the last place in line.
    pub(super) fn join(&self, shape: Shape, topic: Topic, kind: Kind, waker: &Waker) -> Place<'_> {
        let waker = Some(waker.clone());
        let ticket = self.0.watched(|line| {
            let ticket = line.next_ticket;
            line.next_ticket += 1;
            line.has_tasks |= kind == Kind::Task;
            line.is_mixed |= line.present.last_key_value().is_some_and(|(_, w)| w.shape != shape);
            let waiter = Waiter::new(shape, topic, kind, waker);
            line.present.insert(ticket, waiter);
            ticket
        });
        // Pairs with the order of `room_made`: either that sees the waiter, or the waiter's next
        // attempt sees the room.
        fence(Ordering::SeqCst);
        Place { queue: self, ticket }
    }

    /// Waits in line until `attempt` gives something, or until the deadline (`None`: without end). After
    /// what it gave, `may_settle` says whether the next in line may be settled as well.
    pub(super) fn wait<T>(
        &self,
        shape: Shape,
        topic: Topic,
        deadline: Option<Instant>,
        mut attempt: impl FnMut(Call) -> Option<T>,
        may_settle: impl FnOnce(&T, Shape) -> bool,
    ) -> Option<T> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let place = self.join(shape, topic, Kind::Thread, &waker);
        loop {
            if let Some(found) = place.attempt(&waker, &mut attempt) {
                place.leave(|next| may_settle(&found, next));
                return Some(found);
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(left) if left.is_zero() => return None,
                Some(left) => thread::park_timeout(left),
            }
        }
    }

    fn call_next(&self) {
        let waker = self.0.watched(|line| {
            line.events += 1;
            line.call_next(Instant::now())
        });
        wake(waker);
    }
}

impl Shared {
    /// Changes the line, and says how many are present then.
    fn changed<R>(&self, change: impl FnOnce(&mut Line) -> R) -> (R, usize) {
        let mut line = self.line.lock();
        let result = change(&mut line);
        let present = line.present.len();
        if present == 0 {
            (line.has_tasks, line.is_mixed, line.just_passed, line.calls) = (false, false, 0, 1);
        }
        self.present.store(present, Ordering::SeqCst);
        (result, present)
    }

    /// The same, and has somebody look after the line from then on if it needs that.
    fn watched<R>(self: &Arc<Self>, change: impl FnOnce(&mut Line) -> R) -> R {
        let ((result, begin), _) = self.changed(|line| {
            let result = change(line);
            let begin = line.needs_watch() && !mem::replace(&mut line.is_watched, true);
            (result, begin)
        });
        if begin && self.begin_watch().is_err() {
            // Nobody can look after it: each looks after itself, and order is lost.
            self.line.lock().is_watched = false;
            self.call_all();
        }
        result
    }

    fn begin_watch(self: &Arc<Self>) -> io::Result<()> {
        watch::begin("strongroom-line", Arc::downgrade(self), TICK, Self::look, Self::end_watch)
    }

    /// Looks after the line, one time of many: passes those who did not come, and calls whoever that
    /// makes way for. Whether it needs to be looked after any longer.
    pub(super) fn look(&self, now: Instant) -> bool {
        let (wakers, _) = self.changed(|line| {
            let mut wakers = Vec::new();
            line.pass(now);
            // A newcomer may have passed them, who calls nobody.
            if mem::take(&mut line.just_passed) > 0 {
                line.calls = (line.calls * 2).clamp(2, MOST_CALLS);
                wakers.extend((0..line.calls).filter_map(|_| line.call_next(now)));
            }
            wakers.extend(line.call_shorter(now));
            wakers
        });
        wake(wakers);
        self.line.lock().needs_watch()
    }

    /// Ends the looking after, unless it is needed again.
    pub(super) fn end_watch(&self) -> bool {
        let mut line = self.line.lock();
        line.is_watched = line.needs_watch();
        !line.is_watched
    }

    fn call_all(&self) {
        self.call_where(Call::ForRoom, |_| true);
    }

    fn call_where(&self, call: Call, is_meant: impl Fn(&Waiter) -> bool) {
        let (wakers, _) = self.changed(|line| {
            let (now, event) = (Instant::now(), line.events);
            let all = line.present.values_mut().chain(line.passed.values_mut());
            let meant = all.filter(|waiter| is_meant(waiter));
            meant.filter_map(|waiter| waiter.call(call, now, event)).collect::<Vec<_>>()
        });
        wake(wakers);
    }
}

impl Line {
    fn needs_watch(&self) -> bool {
        self.just_passed > 0 || self.present.len() > 1 && (self.has_tasks || self.is_mixed)
    }

    /// Passes those at the front who were woken and did not come. Others are called in their place.
    fn pass(&mut self, now: Instant) {
        while let Some(first) = self.present.first_entry().filter(|first| first.get().is_late(now))
        {
            let (ticket, mut waiter) = first.remove_entry();
            waiter.call = None;
            self.passed.insert(ticket, waiter);
            self.just_passed += 1;
        }
    }

    /// Calls the first who is not called, unless one before it was called for another shape: that might
    /// find its room taken. Gives its waker if it is asleep.
    fn call_next(&mut self, now: Instant) -> Option<Waker> {
        self.pass(now);
        let mut called: Option<Shape> = None;
        for waiter in self.present.values_mut() {
            if called.is_some_and(|shape| shape != waiter.shape || shape.secrets > 1) {
                return None;
            }
            if !waiter.is_called_for_room() {
                return waiter.call(Call::ForRoom, now, self.events);
            }
            called = Some(waiter.shape);
        }
        None
    }

    /// Removes one who leaves. Whether it has to see to the next: it was called for room that it may not
    /// have taken, or nobody is left who was called before that one, and sees to it.
    fn leave(&mut self, ticket: u64) -> (Option<Waiter>, bool) {
        let gone = self.remove(ticket);
        let is_called = |waiter: &Waiter| waiter.is_called_for_room();
        let is_due = gone.as_ref().is_some_and(is_called)
            || !self.present.first_key_value().is_some_and(|(_, first)| is_called(first));
        (gone, is_due)
    }

    /// The shape of whoever [`call_next`](Self::call_next) would call.
    fn next_shape(&self) -> Option<Shape> {
        self.present.values().find(|waiter| !waiter.is_called_for_room()).map(|waiter| waiter.shape)
    }

    /// Calls the first who waits for less than all before it, if the first in line has been blocked
    /// for so long that this one may have a try.
    fn call_shorter(&mut self, now: Instant) -> Option<Waker> {
        let mut waiting = self.present.values_mut();
        let first = waiting.next()?;
        if !first.lets_shorter_pass(now) {
            return None;
        }
        let mut shortest = first.shape.len;
        for waiter in waiting {
            if waiter.shape.len < shortest {
                shortest = waiter.shape.len;
                // There may have been room for it all the time, if it was never called.
                let seen = waiter.seen;
                if !waiter.is_called_for_room() && seen.is_none_or(|seen| seen < self.events) {
                    return waiter.call(Call::ForRoom, now, self.events);
                }
            }
        }
        None
    }

    fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        self.present.remove(&ticket).or_else(|| self.passed.remove(&ticket))
    }

    /// Notes that somebody came, with the waker of its next sleep, and gives back the one it had.
    /// What it may do: it was called, or is the first.
    fn came(&mut self, ticket: u64, waker: Waker, now: Instant) -> (Option<Call>, Option<Waker>) {
        let Some(mut waiter) = self.remove(ticket) else { return (None, Some(waker)) };
        let call = waiter.call.take();
        if waiter.woken.take().is_some() {
            self.calls = 1;
        }
        let old = waiter.waker.replace(waker);
        // However late: it is there now.
        self.present.insert(ticket, waiter);
        self.pass(now);
        let is_first = self.present.first_key_value().is_some_and(|(&first, _)| first == ticket);
        (if is_first { Some(Call::ForRoom) } else { call }, old)
    }

    /// Notes that somebody found no room; gives whoever should try again, or in its place.
    fn failed(&mut self, ticket: u64, now: Instant) -> Option<Waker> {
        self.failures += 1;
        let event = self.events;
        let shape = self.present.get(&ticket)?.shape;
        // Nor is there any for those behind it, who would take what is made for this one from now on.
        let behind = self.present.range_mut((Bound::Excluded(ticket), Bound::Unbounded));
        behind
            .map(|(_, waiter)| waiter)
            .take_while(|waiter| waiter.shape == shape && waiter.is_called_for_room())
            .for_each(|waiter| waiter.call = None);
        let (&first, waiter) = self.present.iter_mut().next()?;
        if first == ticket {
            waiter.blocked.get_or_insert(now);
            return self.call_shorter(now);
        }
        // What it took for a moment was perhaps in the way of one before it, who has failed as well.
        let mut before = self.present.range_mut(..ticket).map(|(_, waiter)| waiter);
        before.find(|waiter| !waiter.is_called_for_room())?.call(Call::ForRoom, now, event)
    }
}

impl Waiter {
    fn new(shape: Shape, topic: Topic, kind: Kind, waker: Option<Waker>) -> Self {
        let (woken, call, blocked, seen) = (None, None, None, None);
        Self { shape, kind, waker, woken, call, blocked, seen, topic }
    }

    /// Gives its waker if it is asleep.
    fn call(&mut self, call: Call, now: Instant, event: u64) -> Option<Waker> {
        self.call = self.call.max(Some(call));
        if call == Call::ForRoom {
            self.seen = Some(event);
        }
        let waker = self.waker.take()?;
        self.woken = Some(now);
        Some(waker)
    }

    fn is_called_for_room(&self) -> bool {
        self.call == Some(Call::ForRoom)
    }

    fn is_late(&self, now: Instant) -> bool {
        let grace = match self.kind {
            Kind::Thread => GRACE_FOR_THREADS,
            Kind::Task => GRACE_FOR_TASKS,
        };
        self.woken.is_some_and(|woken| now.saturating_duration_since(woken) > grace)
    }

    /// For a quarter of the time that it is blocked.
    fn lets_shorter_pass(&self, now: Instant) -> bool {
        self.blocked.is_some_and(|since| {
            let blocked = now.saturating_duration_since(since).as_millis();
            blocked / TURN.as_millis() % 4 == 3
        })
    }
}

/// A place in the line, given up when dropped. Its waker goes last: that may panic.
pub(super) struct Place<'q> {
    queue: &'q Queue,
    ticket: u64,
}

impl Place<'_> {
    /// Tries if it is this place's turn. `waker` is woken when it should be tried again.
    pub(super) fn attempt<T>(
        &self,
        waker: &Waker,
        attempt: impl FnOnce(Call) -> Option<T>,
    ) -> Option<T> {
        // Who is to be woken is said before it is tried, so no call in between is lost.
        let fresh = waker.clone();
        let now = Instant::now();
        let (call, old) = self.queue.0.watched(|line| line.came(self.ticket, fresh, now));
        drop(old);
        // Pairs with the order of `room_made`, like the one in `join`.
        fence(Ordering::SeqCst);
        let found = call.and_then(attempt);
        if call == Some(Call::ForRoom) && found.is_none() {
            wake(self.queue.0.changed(|line| line.failed(self.ticket, Instant::now())).0);
        }
        found
    }

    /// Leaves the line, served or told, and calls the next if that may be settled as well.
    pub(super) fn leave(self, may_settle: impl FnOnce(Shape) -> bool) {
        let (queue, ticket) = (self.queue, self.ticket);
        mem::forget(self);
        let ((_gone, next, before), _) = queue.0.changed(|line| {
            let (gone, is_due) = line.leave(ticket);
            (gone, line.next_shape().filter(|_| is_due), line.failures)
        });
        // To find that out takes less time than to wake somebody for nothing.
        let Some(shape) = next else { return };
        if shape.secrets > 1 || may_settle(shape) || queue.0.line.lock().failures != before {
            // There is room; or it looked, to another, as if there were none while it was taken.
            queue.call_next();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let ((_gone, is_due), _) = self.queue.0.changed(|line| line.leave(self.ticket));
        if is_due {
            // There may be room for the next one.
            self.queue.room_made();
        }
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| apart(|| waker.wake()));
}

/// Wakes a thread that parks itself.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How often somebody looks after the line.
const TICK: Duration = Duration::from_millis(5);

/// How long a task that was called has to come: longer than a busy machine keeps it waiting.
const GRACE_FOR_TASKS: Duration = Duration::from_millis(50);

/// The same for threads, which are sure to come unless others of a higher priority never sleep.
const GRACE_FOR_THREADS: Duration = Duration::from_millis(500);

/// How long one who is blocked keeps back those behind it who wait for less, three times of four.
const TURN: Duration = Duration::from_millis(50);

const MOST_CALLS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Shape = Shape { len: 64, secrets: 1 };
    const LONG: Shape = Shape { len: 3000, secrets: 1 };
    const PAIR: Shape = Shape { len: 128, secrets: 2 };

    fn line(waiting: &[(Shape, Kind)]) -> Line {
        let mut line = Line::default();
        for (ticket, &(shape, kind)) in waiting.iter().enumerate() {
            let waker = Some(Waker::noop().clone());
            line.present.insert(ticket as u64, Waiter::new(shape, 0, kind, waker));
        }
        line
    }

    /// Makes room, and says who is called.
    fn called_for_room(line: &mut Line, now: Instant) -> Option<u64> {
        line.events += 1;
        let asleep = |line: &Line| {
            let asleep = line.present.iter().filter(|(_, waiter)| waiter.waker.is_some());
            asleep.map(|(&ticket, _)| ticket).collect::<Vec<_>>()
        };
        let before = asleep(line);
        line.call_next(now)?;
        let after = asleep(line);
        before.into_iter().find(|ticket| !after.contains(ticket))
    }

    /// Whether it may try.
    fn comes(line: &mut Line, ticket: u64, now: Instant) -> bool {
        line.came(ticket, Waker::noop().clone(), now).0.is_some()
    }

    #[test]
    fn each_room_calls_one_more_who_waits_for_the_same() {
        let mut line = line(&[(SHORT, Kind::Thread); 3]);
        let now = Instant::now();
        for ticket in 0..3 {
            assert_eq!(called_for_room(&mut line, now), Some(ticket));
        }
        assert_eq!(called_for_room(&mut line, now), None);
        assert!(comes(&mut line, 1, now) && comes(&mut line, 2, now), "they were called");
    }

    #[test]
    fn nobody_is_called_behind_one_who_may_need_the_same_room() {
        let now = Instant::now();
        for first in [LONG, PAIR] {
            let mut line = line(&[(first, Kind::Thread), (SHORT, Kind::Thread)]);
            assert_eq!(called_for_room(&mut line, now), Some(0));
            assert_eq!(called_for_room(&mut line, now), None);
            assert!(!comes(&mut line, 1, now), "it was not called");
            assert!(comes(&mut line, 0, now));
            assert_eq!(called_for_room(&mut line, now), Some(0), "again, as it may have failed");
        }
    }

    /// Those behind one who finds no room would take what is made for it next.
    #[test]
    fn who_is_called_behind_one_who_fails_may_not_try() {
        let mut line = line(&[(SHORT, Kind::Task); 4]);
        let now = Instant::now();
        for ticket in 0..3 {
            assert_eq!(called_for_room(&mut line, now), Some(ticket));
        }
        assert!(comes(&mut line, 0, now));
        assert!(line.failed(0, now).is_none());
        assert_eq!(called_for_room(&mut line, now), Some(0), "the next room is for the first");
        assert!(!comes(&mut line, 1, now), "it is called no more");
        line.events += 1;
        assert!(line.call_next(now).is_some(), "it sleeps, and is woken anew");
        line.events += 1;
        assert!(line.call_next(now).is_none(), "the third has been awake since it was called");
        for ticket in 0..3 {
            assert!(comes(&mut line, ticket, now), "{ticket} is called");
        }
        assert!(!comes(&mut line, 3, now));
    }

    /// It is awake, does not come, and is in the way of others.
    #[test]
    fn who_is_called_no_more_is_passed_if_it_does_not_come() {
        let mut line = line(&[(SHORT, Kind::Task); 3]);
        let now = Instant::now();
        for ticket in 0..2 {
            assert_eq!(called_for_room(&mut line, now), Some(ticket));
        }
        assert!(comes(&mut line, 0, now));
        assert!(line.failed(0, now).is_none());
        assert!(line.leave(0).1);
        assert_eq!(called_for_room(&mut line, now + GRACE_FOR_TASKS * 2), Some(2));
        assert_eq!(line.passed.len(), 1);
    }

    #[test]
    fn who_leaves_sees_to_the_next_unless_one_before_it_will() {
        let now = Instant::now();
        let called = |count: usize| {
            let mut line = line(&[(SHORT, Kind::Task); 4]);
            (0..count).for_each(|_| assert!(called_for_room(&mut line, now).is_some()));
            line
        };
        let mut line = called(0);
        assert!(line.leave(0).1, "those behind it may need less");
        let mut line = called(2);
        assert!(!line.leave(3).1, "it had no turn");
        assert!(line.leave(0).1, "the room that it was called for is the next one's");
        let mut line = called(2);
        assert!(comes(&mut line, 0, now));
        assert!(!line.leave(0).1, "the second does");
        assert!(comes(&mut line, 1, now));
        assert!(line.leave(1).1, "nobody else does");
        let mut line = called(2);
        assert!(comes(&mut line, 0, now));
        assert_eq!(called_for_room(&mut line, now), Some(0), "while it tries");
        assert!(line.leave(0).1, "there is more room than it took");
    }

    /// Others were called in their place.
    #[test]
    fn who_was_passed_is_called_no_more() {
        let mut line = line(&[(SHORT, Kind::Task); 3]);
        let now = Instant::now();
        for ticket in 0..2 {
            assert_eq!(called_for_room(&mut line, now), Some(ticket));
        }
        let late = now + GRACE_FOR_TASKS * 2;
        assert_eq!(called_for_room(&mut line, late), Some(2));
        assert!(comes(&mut line, 0, late), "it is the first");
        assert!(!comes(&mut line, 1, late), "room is for the first");
    }

    /// What it may have is what another has open already.
    #[test]
    fn who_is_called_for_its_topic_may_not_take_room() {
        let queue = Queue::default();
        *queue.0.line.lock() = line(&[(SHORT, Kind::Task); 3]);
        queue.0.line.lock().present.get_mut(&1).unwrap().topic = 7;
        queue.0.call_where(Call::ForTopic, |waiter| waiter.topic == 7);
        let now = Instant::now();
        let mut line = queue.0.line.lock();
        let (call, _) = line.came(1, Waker::noop().clone(), now);
        assert_eq!(call, Some(Call::ForTopic));
        assert_eq!(line.call_next(now).is_some().then_some(0), Some(0), "room is the first one's");
        assert!(line.present[&0].is_called_for_room() && !line.present[&1].is_called_for_room());
    }

    #[test]
    fn who_is_late_is_passed_and_keeps_its_place() {
        let now = Instant::now();
        for (kind, grace) in [(Kind::Task, GRACE_FOR_TASKS), (Kind::Thread, GRACE_FOR_THREADS)] {
            let mut line = line(&[(SHORT, kind), (LONG, Kind::Task)]);
            assert_eq!(called_for_room(&mut line, now), Some(0));
            line.pass(now + grace);
            assert!(line.passed.is_empty(), "not yet");
            assert_eq!(called_for_room(&mut line, now + grace * 2), Some(1));
            assert_eq!((line.present.len(), line.passed.len()), (1, 1));
            assert!(comes(&mut line, 0, now + grace * 3), "it was called");
            assert_eq!(line.passed.len() + line.present.len(), 2);
            assert_eq!(
                called_for_room(&mut line, now + grace * 3),
                Some(0),
                "it is the first again"
            );
        }
    }

    /// Looks after the line every few milliseconds, and says after how many it has called so many.
    fn looks_until_called(shared: &Shared, begun: Instant, count: usize) -> Option<u32> {
        let called = |line: &Line| {
            let asleep = line.present.values().filter(|waiter| waiter.waker.is_some()).count();
            line.present.len() + line.passed.len() - asleep
        };
        (0..10_000).find(|&millis| {
            shared.look(begun + Duration::from_millis(millis.into()));
            called(&shared.line.lock()) >= count
        })
    }

    #[test]
    fn twice_as_many_are_called_each_time_that_none_comes() {
        let shared = Shared::default();
        let now = Instant::now();
        *shared.line.lock() = line(&[(SHORT, Kind::Task); 127]);
        assert_eq!(called_for_room(&mut shared.line.lock(), now), Some(0));
        // 1 + 2 + 4 + 8 + 16 + 32, and the 64th is one of the next.
        let millis = looks_until_called(&shared, now, 64).unwrap();
        assert!(u128::from(millis) <= (GRACE_FOR_TASKS.as_millis() + 1) * 6, "{millis} ms");
        assert_eq!(shared.line.lock().calls, MOST_CALLS);
        comes(&mut shared.line.lock(), 126, now);
        assert_eq!(shared.line.lock().calls, 1, "one who is alive");
    }

    /// A newcomer that finds the line not free is no reason to forget those behind the late.
    #[test]
    fn whoever_passes_the_late_somebody_is_called_in_their_place() {
        let queue = Queue::default();
        let now = Instant::now();
        *queue.0.line.lock() = line(&[(SHORT, Kind::Task); 2]);
        assert_eq!(called_for_room(&mut queue.0.line.lock(), now), Some(0));
        let late = now + GRACE_FOR_TASKS * 2;
        queue.0.changed(|line| line.pass(late));
        assert!(!queue.is_free(), "the second may come");
        assert!(queue.0.line.lock().needs_watch());
        assert_eq!(looks_until_called(&queue.0, late, 2), Some(0));
    }

    /// It is there then, and must not be passed in that very moment: nobody would call it again.
    #[test]
    fn who_comes_late_is_not_passed() {
        let mut line = line(&[(SHORT, Kind::Task)]);
        let now = Instant::now();
        assert_eq!(called_for_room(&mut line, now), Some(0));
        let late = now + GRACE_FOR_TASKS * 9;
        assert!(comes(&mut line, 0, late));
        assert!(line.failed(0, late).is_none());
        assert_eq!(called_for_room(&mut line, late), Some(0));
    }

    #[test]
    fn shorter_ones_may_try_for_a_quarter_of_the_time() {
        let waiting = [(LONG, Kind::Task), (LONG, Kind::Task), (SHORT, Kind::Task)];
        let mut line = line(&waiting);
        let now = Instant::now();
        assert_eq!(called_for_room(&mut line, now), Some(0));
        assert!(comes(&mut line, 0, now));
        assert!(line.failed(0, now).is_none(), "it has only just come");
        let mut passes = |at: u32| line.call_shorter(now + TURN * at).is_some();
        assert_eq!([0, 1, 2, 3, 3].map(&mut passes), [false, false, false, true, false], "once");
        assert!(comes(&mut line, 2, now + TURN * 3));
        assert!(!comes(&mut line, 1, now + TURN * 3), "it waits for as much");
        line.events += 1;
        let mut passes = |at: u32| line.call_shorter(now + TURN * at).is_some();
        assert_eq!([4, 6, 7].map(&mut passes), [false, false, true]);
    }

    /// It came when others waited, so it never looked for the room that was there.
    #[test]
    fn a_shorter_one_has_its_first_try_though_no_room_was_made() {
        let mut line = line(&[(LONG, Kind::Task), (SHORT, Kind::Thread)]);
        let now = Instant::now();
        assert!(comes(&mut line, 0, now));
        assert!(line.failed(0, now).is_none(), "it has only just come");
        assert!(line.call_shorter(now + TURN * 3).is_some());
        assert!(comes(&mut line, 1, now + TURN * 3));
        assert!(line.failed(1, now + TURN * 3).is_some(), "the first looks again");
        assert!(line.call_shorter(now + TURN * 3).is_none(), "nothing has changed since");
    }

    #[test]
    fn who_fails_beside_the_first_has_the_first_try_again() {
        let mut line = line(&[(SHORT, Kind::Thread); 2]);
        let now = Instant::now();
        assert_eq!(called_for_room(&mut line, now), Some(0));
        assert_eq!(called_for_room(&mut line, now), Some(1));
        assert!(comes(&mut line, 0, now) && comes(&mut line, 1, now));
        assert!(line.failed(0, now).is_none());
        assert!(line.failed(1, now).is_some(), "what it took was perhaps in the first's way");
        assert!(line.present[&0].waker.is_none() && line.present[&1].waker.is_some());
    }
}
