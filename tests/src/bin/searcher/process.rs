//! Another process: what can be read of it is searched, and what was found is told.

use std::io;

use strongroom_tests::known::Known;
use strongroom_tests::scan::{Find, Search, mappings};

use crate::machine::{AT_REST, CONTROL, OPEN, patterns};

pub(crate) fn main(arguments: &[String]) {
    let number = |at: usize| arguments[at].parse::<usize>().unwrap();
    let (id, open) = (arguments[1].parse().unwrap(), number(4));
    let search = patterns(Known::new(number(2) as u64), number(3), open, None);
    let finds = match arguments[0].as_str() {
        "mem" => search.process(id),
        "process_vm_readv" => read_across(&search, id),
        other => panic!("no way is called {other}"),
    };
    let finds = finds.unwrap_or_else(|error| {
        eprintln!("{error}");
        Vec::new()
    });
    let count = |name| finds.iter().filter(|find| find.name == name).count();
    // Each is found as eight windows in a row.
    if count(CONTROL) >= open * 8 {
        println!("all {CONTROL}");
    }
    for name in [OPEN, AT_REST].into_iter().filter(|name| count(name) > 0) {
        println!("{name}");
    }
}

/// `process_vm_readv(2)`.
fn read_across(search: &Search, id: u32) -> io::Result<Vec<Find>> {
    let mut finds = Vec::new();
    for mapping in mappings(id)? {
        let mut bytes = vec![0_u8; mapping.range.len()];
        let here = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let there = std::ptr::without_provenance_mut(mapping.range.start);
        let there = libc::iovec { iov_base: there, iov_len: bytes.len() };
        let id = id.cast_signed();
        // SAFETY: the buffer is valid for so many bytes; what is there is the kernel's to look at.
        let read =
            unsafe { libc::process_vm_readv(id, &raw const here, 1, &raw const there, 1, 0) };
        if let Ok(read) = usize::try_from(read) {
            search.bytes(mapping.range.start, &bytes[..read], &mut finds);
        }
    }
    Ok(finds)
}
