//! Typed secrets: built in place, dropped once, wiped whatever happens.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use strongroom_core::{AllocateError, Buffer, Secret};
use strongroom_tests::faults;
use strongroom_tests::raw::{Ground, Lab};

fn with_lab(test: impl FnOnce(&Lab<'_>)) {
    let mut ground = Ground::new(1 << 14, 0);
    let lab = Lab::new(&mut ground, 1).unwrap();
    test(&lab);
    assert_eq!(lab.arena().stats().live, 0, "something is left");
    assert_eq!(lab.arena().verify(), Ok(()));
    assert_eq!(faults::take(), []);
}

#[test]
fn a_panic_while_building_wipes_and_gives_back() {
    with_lab(|lab| {
        let place = Cell::new(0);
        let begin = |memory: &mut MaybeUninit<[u8; 200]>| {
            memory.write([0x5a; 200]);
            place.set(lab.offset_of(NonNull::from(memory).cast()));
            panic!("no key today");
        };
        let built =
            catch_unwind(AssertUnwindSafe(|| Secret::build(lab.arena(), |place| begin(place))));
        assert!(built.is_err());
        assert!(place.get() > 0 && lab.is_zero(place.get()..place.get() + 200), "not wiped");
    });
}

#[test]
fn building_in_another_place_is_refused() {
    with_lab(|lab| {
        let elsewhere = Box::leak(Box::new(7_u64));
        let elsewhere = RefCell::new(Some(elsewhere));
        let built = catch_unwind(AssertUnwindSafe(|| {
            Secret::build(lab.arena(), |_| elsewhere.take().unwrap()).map(drop)
        }));
        let panic = built.unwrap_err();
        assert!(panic.downcast_ref::<&str>().unwrap().contains("another place"));
    });
}

#[test]
fn a_value_is_dropped_once() {
    let drops = Cell::new(0);
    with_lab(|lab| {
        let counted =
            || Secret::build(lab.arena(), |place| place.write(Counted(&drops, 7))).unwrap();
        drop(counted());
        assert_eq!(drops.replace(0), 1);
        assert_eq!(counted().release(), Ok(()));
        assert_eq!(drops.replace(0), 1);
        let mut several: Vec<_> = (0..5).map(|_| counted()).collect();
        several[3].expose_secret_mut().1 = 8;
        assert_eq!(several[3].expose_secret().1, 8);
        drop(several);
        assert_eq!(drops.replace(0), 5);
        let unbuilt = catch_unwind(AssertUnwindSafe(|| {
            Secret::<Counted<'_>>::build(lab.arena(), |_| panic!("before anything is written"))
        }));
        assert!(unbuilt.is_err());
        assert_eq!(drops.get(), 0, "what was not built is not dropped");
    });
}

#[test]
fn a_value_whose_drop_panics_is_wiped_and_given_back() {
    with_lab(|lab| {
        for release in [false, true] {
            let secret =
                Secret::build(lab.arena(), |place| place.write(Stubborn([7; 64]))).unwrap();
            let place = lab.offset_of(NonNull::from(&*secret.expose_secret()).cast());
            let ended = catch_unwind(AssertUnwindSafe(|| {
                if release {
                    secret.release()
                } else {
                    drop(secret);
                    Ok(())
                }
            }));
            assert!(ended.is_err());
            assert!(lab.is_zero(place..place + 64), "not wiped (release: {release})");
            assert_eq!(lab.arena().stats().live, 0, "not given back (release: {release})");
        }
    });
}

#[test]
fn a_refused_secret_is_not_built() {
    with_lab(|lab| {
        let mut held = Vec::new();
        while let Ok(buffer) = Buffer::new(lab.arena(), 900) {
            held.push(buffer);
        }
        let built = Secret::<[u8; 900]>::build(lab.arena(), |_| unreachable!("there is no room"));
        assert!(matches!(built, Err(AllocateError::Full { requested: 900, .. })));
        let too_large = Secret::<[u64; 4096]>::zeroed(lab.arena());
        assert!(matches!(too_large, Err(AllocateError::TooLarge { requested: 32_768, .. })));
        let mut source = [9; 900];
        assert!(Buffer::wiping(lab.arena(), &mut source).is_err());
        assert_eq!(source, [9; 900], "a refused source is as it was");
    });
}

#[test]
fn values_are_aligned_and_may_be_nothing() {
    #[repr(align(512))]
    struct Aligned([u8; 700]);
    #[repr(align(8192))]
    struct TooAligned(#[expect(dead_code, reason = "only its layout counts")] u8);
    with_lab(|lab| {
        let secret = Secret::build(lab.arena(), |place| place.write(Aligned([3; 700]))).unwrap();
        assert_eq!(std::ptr::from_ref(&*secret.expose_secret()).addr() % 512, 0);
        assert_eq!(secret.expose_secret().0, [3; 700]);
        let refused = Secret::build(lab.arena(), |place| place.write(TooAligned(1)));
        let expected = AllocateError::Alignment { requested: 8192, largest: 4096 };
        assert_eq!(refused.unwrap_err(), expected);
        let nothing = Secret::<[u64; 0]>::zeroed(lab.arena()).unwrap();
        assert!(nothing.expose_secret().is_empty());
        assert_eq!(lab.arena().stats().live, 1, "nothing takes no memory");
        assert_eq!(nothing.release(), Ok(()));
    });
}

#[test]
fn sources_are_wiped_and_drops_wipe() {
    with_lab(|lab| {
        let mut source = *b"correct horse battery staple";
        let buffer = Buffer::wiping(lab.arena(), &mut source).unwrap();
        assert_eq!(source, [0; 28]);
        let place = lab.offset_of(NonNull::from(&*buffer.expose_secret()).cast());
        assert!(lab.holds(place, b"correct horse battery staple"));
        assert!(buffer.constant_time_eq(b"correct horse battery staple"));
        assert!(!buffer.constant_time_eq(b"correct horse battery stapler"));
        drop(buffer);
        assert!(lab.is_zero(place..place + 28));
    });
}

#[test]
fn random_secrets_differ() {
    with_lab(|lab| {
        let secrets: Vec<_> = (0..20).map(|_| Buffer::random(lab.arena(), 24).unwrap()).collect();
        let mut contents: Vec<_> = secrets.iter().map(|one| one.expose_secret().to_vec()).collect();
        contents.sort_unstable();
        contents.dedup();
        assert_eq!(contents.len(), 20);
        let keys = [(); 2].map(|()| Secret::<[u8; 32]>::random(lab.arena()).unwrap());
        assert!(!keys[0].constant_time_eq(&keys[1].expose_secret()));
        assert!(keys[0].constant_time_eq(&keys[0].expose_secret()));
    });
}

#[test]
fn debug_shows_no_content() {
    with_lab(|lab| {
        let buffer = Buffer::wiping(lab.arena(), &mut [77; 5]).unwrap();
        assert_eq!(format!("{buffer:?}"), "Buffer { len: 5, .. }");
        let secret = Secret::build(lab.arena(), |place| place.write(77_u32)).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret { .. }");
    });
}

struct Counted<'c>(&'c Cell<usize>, u8);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

struct Stubborn(#[expect(dead_code, reason = "looked at from outside")] [u8; 64]);

impl Drop for Stubborn {
    fn drop(&mut self) {
        panic!("I will not go");
    }
}
