//! strongroom as a C library. What C sees of it is `strongroom.h`, which is made of this crate by
//! cbindgen; docs/C.md says how it is used.
//!
//! Each exported function does three things: it takes what came over the border as pointers
//! (`pointers`), calls the crate `strongroom`, and answers with a status (`status`), into which it also
//! turns what unwinds. The order of the modules is that of the header.

mod status;

mod fault;
mod malloc;
mod opened;
mod opening;
mod options;
mod pointers;
mod report;
mod store;
mod stream;
/// That of the drop-ins: it takes no lock and has nothing of a thread's own.
#[path = "../../drop-in/memory/src/table.rs"]
#[allow(dead_code, reason = "the drop-ins look at all of it")]
mod table;
mod vault;
mod window;
mod windows;

pub use self::fault::*;
pub use self::malloc::*;
pub use self::opened::*;
pub use self::opening::*;
pub use self::options::*;
pub use self::report::*;
pub use self::status::{
    NumbersOut, Status, strongroom_error_message, strongroom_error_numbers_read, strongroom_version,
};
pub use self::store::*;
pub use self::stream::*;
pub use self::vault::*;
