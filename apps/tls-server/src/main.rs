//! A TLS server for very many names, whose private keys rest sealed. `--help` says how it is used.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::{ArgGroup, Parser};
use indicatif::{HumanBytes, HumanCount};
use strongroom::{Vault, wipe_all};
use strongroom_tls_server::demo::{self, Authority};
use strongroom_tls_server::keys::{Keeping, SealedKeys};
use strongroom_tls_server::server::{Tally, serve};
use strongroom_tls_server::{Failure, folder};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A TLS server for very many names: its private keys rest sealed, and each is opened for one signature.
#[derive(Parser)]
#[command(group(ArgGroup::new("from").required(true)))]
struct Options {
    /// A folder with NAME.crt (the chain, PEM) and NAME.key (P-256, PEM) for each name.
    #[arg(long, group = "from")]
    folder: Option<PathBuf>,
    /// Make this many keys and certificates: site-0.example, site-1.example, and so on.
    #[arg(long, group = "from", value_parser = clap::value_parser!(u32).range(1..))]
    demo: Option<u32>,
    /// Where --demo writes its authority's certificate, for clients.
    #[arg(long, default_value = "demo-ca.pem")]
    ca: PathBuf,
    /// The address to listen on; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Bytes of locked memory.
    #[arg(long, default_value_t = 64 * 1024)]
    budget: usize,
    /// Keep the keys in ordinary memory, as other servers do: for comparison.
    #[arg(long)]
    plain_keys: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), Failure> {
    let vault = Arc::new(Vault::new(options.budget)?);
    let share = vault.share();
    let sealed = Arc::new(SealedKeys::new(share.clone()));
    let keeping =
        if options.plain_keys { Keeping::Plain } else { Keeping::Sealed(Arc::clone(&sealed)) };
    // The port is taken first: that it is another's need not be learned after all the keys.
    let listener = TcpListener::bind(options.listen).await;
    let listener =
        listener.map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    let address = listener.local_addr()?;

    let sites = if let Some(folder) = &options.folder {
        folder::read(folder, &share, &keeping)?
    } else {
        let authority = Authority::new(&share)?;
        fs::write(&options.ca, authority.certificate().pem())
            .map_err(|error| format!("cannot write {}: {error}", options.ca.display()))?;
        authority.sites(&share, options.demo.unwrap_or(1) as usize, &keeping)?
    };
    let names = sites.len();
    let average = |bytes: usize| bytes / names;
    println!(
        "{} names; certificates {} ({} bytes each); sealed keys {} ({} bytes each); {} locked",
        HumanCount(names as u64),
        HumanBytes(sites.certificate_bytes() as u64),
        average(sites.certificate_bytes()),
        HumanBytes(sealed.bytes() as u64),
        average(sealed.bytes()),
        HumanBytes(vault.metrics().locked as u64),
    );
    if options.plain_keys {
        println!("the keys are in ordinary memory, unsealed: --plain-keys is for comparison");
    }
    let config = Arc::new(sites.into_config()?);
    println!("listening on {address}");
    if options.demo.is_some() {
        let (name, port, ca) = (demo::name(names - 1), address.port(), options.ca.display());
        println!(
            "try: curl --cacert {ca} --resolve {name}:{port}:{} https://{name}:{port}/",
            address.ip()
        );
    }

    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        println!("stopping: open connections may end");
    };
    let tally = Arc::new(Tally::default());
    serve(listener, config, Arc::clone(&tally), stop).await;
    wipe_all();
    println!(
        "stopped and wiped: {} handshakes, {} refused",
        HumanCount(tally.handshakes.load(Ordering::Relaxed)),
        HumanCount(tally.refused.load(Ordering::Relaxed))
    );
    Ok(())
}
