//! Many tasks, little locked memory: each waits its turn for room, without a thread and not without
//! end.
//!
//! ```sh
//! cargo run --example async_tokio -- 1000
//! ```

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use strongroom::{Sealed, Vault};
use tokio::task::JoinSet;
use tokio::time;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let tasks = env::args().nth(1).map_or(Ok(1000), |count| count.parse())?;
    let vault = Arc::new(Vault::new(8 * 1024)?);
    let sealed = Arc::new(vault.seal(&[7; 1000], b"example")?);

    let mut running = JoinSet::new();
    for _ in 0..tasks {
        running.spawn(use_secret(Arc::clone(&vault), Arc::clone(&sealed)));
    }
    let mut used = 0;
    while let Some(ended) = running.join_next().await {
        used += ended??;
    }

    // A wait that is given up leaves no trace: its place in line goes to the next.
    let mut held = Vec::new();
    while let Ok(opened) = vault.try_open(&sealed, b"example") {
        held.push(opened);
    }
    let waiting = vault.open(&sealed, b"example");
    let in_time = time::timeout(Duration::from_millis(20), waiting).await;
    let outcome = if in_time.is_ok() { "opened" } else { "gave up" };

    let metrics = vault.metrics();
    println!("{used} bytes used by {tasks} tasks, {} at once at most", metrics.peak);
    println!("one more {outcome} while {} were held, {} wait", held.len(), vault.waiters());
    Ok(())
}

async fn use_secret(
    vault: Arc<Vault>,
    sealed: Arc<Sealed>,
) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let waiting = vault.open(&sealed, b"example");
    let opened = time::timeout(Duration::from_secs(30), waiting).await??;
    // Other tasks go on while this one has its secret open.
    time::sleep(Duration::from_millis(1)).await;
    Ok(opened.len())
}
