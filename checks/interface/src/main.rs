//! Prints the public interface of a library, one item a line, from what rustdoc wrote as JSON.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: strongroom-interface FILE.json");
        return ExitCode::from(2);
    };
    // What holds for every type says nothing of one.
    match public_api::Builder::from_rustdoc_json(path).omit_blanket_impls(true).build() {
        Ok(interface) => {
            print!("{interface}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
