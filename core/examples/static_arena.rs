//! One arena for a whole program, in statics: without unsafe code and without `alloc`.
//!
//! ```sh
//! cargo run -p strongroom-core --example static_arena
//! ```
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::thread;

use strongroom_core::{Arena, ArenaError, Buffer, Entropy, EntropyError, Place, Spin};

static REGION: Place<[u8; 16 * 1024]> = Place::empty();
static ARENA: Place<Arena<'static>> = Place::empty();

/// Called once, when the program starts.
fn start() -> Result<&'static Arena<'static>, ArenaError> {
    ARENA.make(|place| {
        let arena = Arena::new_in(place, REGION.take()?, &mut Board, Spin)?;
        arena.set_fault_handler(|fault| eprintln!("{fault}"));
        Ok(arena)
    })
}

/// Called from anywhere, with nothing passed to it.
fn session_key() -> Option<Buffer<'static>> {
    Buffer::random(ARENA.get()?, 32).ok()
}

fn main() -> Result<(), Box<dyn Error>> {
    assert!(session_key().is_none(), "before the start there is no arena");
    let arena = start()?;
    let keys = thread::scope(|scope| {
        let tasks = [(); 4].map(|()| scope.spawn(session_key));
        tasks.map(|task| task.join().ok().flatten())
    });
    assert!(keys.iter().flatten().all(|key| key.expose_secret() != [0; 32]));
    assert_eq!(arena.stats().live, 4);
    drop(keys);
    assert_eq!((arena.stats().live, arena.verify()), (0, Ok(())));
    assert_eq!(start().err(), Some(ArenaError::Taken), "a second start finds the statics taken");
    println!("four keys lay in a static arena of {} bytes", arena.capacity());
    Ok(())
}

/// What is random here: on a board, its generator.
struct Board;

impl Entropy for Board {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let file = File::open("/dev/urandom");
        file.and_then(|mut file| file.read_exact(bytes)).map_err(|_| EntropyError)
    }
}
