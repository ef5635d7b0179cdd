//! An arena in a section of its own, which the linker puts where secrets may lie: memory that is kept
//! out of dumps, that only some code may reach, that loses its content first.
//!
//! ```sh
//! cargo run -p strongroom-core --example linker_section
//! ```
//!
//! On a board the section goes to a memory of its own, by two lines of the linker script:
//!
//! ```text
//! MEMORY { CCMRAM : ORIGIN = 0x10000000, LENGTH = 64K }
//! SECTIONS { .secrets (NOLOAD) : { *(secrets) } > CCMRAM }
//! ```
//!
//! **A `Place` must be zero when the program starts**, as in `.bss`. Most start-up code clears no other
//! section: clear this one as well, or make the region of its raw memory, which may hold anything, by
//! `Region::from_raw` and the names that the linker script gives to its ends.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::ops::Range;

use strongroom_core::{Arena, Enclave, Entropy, EntropyError, Place};

#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,secrets"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = "secrets"))]
static REGION: Place<[u8; 16 * 1024]> = Place::empty();

fn main() -> Result<(), Box<dyn Error>> {
    let arena = Arena::new(REGION.take()?, &mut Board)?;
    let enclave = Enclave::new(&arena)?;
    let mut record = [0; Enclave::record_len(7)];
    let sealed = enclave.seal(b"hunter2", b"db/password", &mut record)?;

    let opened = enclave.open(&sealed, b"db/password")?;
    assert_eq!(opened.expose_secret(), b"hunter2");
    let place = opened.expose_secret().as_ptr_range();
    let section = section();
    assert!(section.start <= place.start.addr() && place.end.addr() <= section.end);
    println!("the secret is open within the section, {} bytes long", section.len());
    Ok(())
}

/// The addresses of the section, as the linker names its ends.
fn section() -> Range<usize> {
    unsafe extern "C" {
        #[cfg_attr(target_vendor = "apple", link_name = "\u{1}section$start$__DATA$secrets")]
        static __start_secrets: u8;
        #[cfg_attr(target_vendor = "apple", link_name = "\u{1}section$end$__DATA$secrets")]
        static __stop_secrets: u8;
    }
    (&raw const __start_secrets).addr()..(&raw const __stop_secrets).addr()
}

/// What is random here: on a board, its generator.
struct Board;

impl Entropy for Board {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let file = File::open("/dev/urandom");
        file.and_then(|mut file| file.read_exact(bytes)).map_err(|_| EntropyError)
    }
}
