//! The same server with sealed keys and with keys in plain memory, taken in turns in one process.
//!
//! ```sh
//! cargo run --release --example beside -p strongroom-tls-server --manifest-path apps/Cargo.toml
//! ```

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "times and bytes are far below 2^52"
)]

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, crypto,
};
use strongroom::Vault;
use strongroom_tls_server::Failure;
use strongroom_tls_server::demo::{self, Authority};
use strongroom_tls_server::keys::{Keeping, KeyPair, SealedKeys};
use strongroom_tls_server::server::serve;
use strongroom_tls_server::sites::Sites;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Compares handshakes and memory with sealed keys and with keys in plain memory.
#[derive(Parser)]
struct Options {
    /// Names, with a key each, of which handshakes ask for one after the other.
    #[arg(long, default_value_t = 1000)]
    names: usize,
    /// Turns, in each of which every server is asked.
    #[arg(long, default_value_t = 200)]
    turns: usize,
    /// Handshakes that a server has in a turn.
    #[arg(long, default_value_t = 20)]
    handshakes: usize,
    /// Keys that are kept to see how much memory they take.
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Only say what each key takes in memory, kept in the way with this number.
    #[arg(long, hide = true)]
    memory_of: Option<usize>,
}

/// A way to keep keys, and what the server with it took in each turn.
struct Contender {
    name: &'static str,
    server: Arc<ServerConfig>,
    address: std::net::SocketAddr,
    over_tcp: Vec<Duration>,
    server_alone: Vec<Duration>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let vault = Arc::new(Vault::new(64 * 1024)?);
    let share = vault.share();
    let ways = [
        ("plain, ring", Keeping::Plain),
        ("sealed, ring", Keeping::Sealed(Arc::new(SealedKeys::new(share.clone())))),
        ("sealed, strongroom-keys", Keeping::StrongroomKeys(share.clone())),
    ];

    if let Some(way) = options.memory_of {
        let (_, keeping) = ways.get(way).ok_or("there is no such way to keep keys")?;
        print!("{}", bytes_for_each(&share, keeping, options.keys)?);
        return Ok(());
    }
    // Each in a process of its own, whose memory no other has used before.
    let memory = (0..ways.len()).map(|way| {
        let arguments = ["--memory-of", &way.to_string(), "--keys", &options.keys.to_string()];
        let output = Command::new(env::current_exe()?).args(arguments).output()?;
        Ok(String::from_utf8(output.stdout)?.parse::<f64>()?)
    });
    let memory = memory.collect::<Result<Vec<_>, Failure>>()?;

    let authority = Authority::new(&share)?;
    // The same keys and certificates for all.
    let mut sites = ways.each_ref().map(|_| Sites::new());
    for number in 0..options.names {
        let pair = KeyPair::generate(&share)?;
        let certificate = authority.certify(number, &pair)?;
        for ((_, keeping), sites) in ways.iter().zip(&mut sites) {
            let chain = vec![certificate.der().clone()];
            sites.add(&demo::name(number), chain, keeping.keep(&pair)?)?;
        }
    }
    let mut contenders = Vec::new();
    for ((name, _), sites) in ways.iter().zip(sites) {
        let server = Arc::new(sites.into_config()?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = serve(listener, Arc::clone(&server), Arc::default(), std::future::pending());
        tokio::spawn(serving);
        let (over_tcp, server_alone) = (Vec::new(), Vec::new());
        contenders.push(Contender { name, server, address, over_tcp, server_alone });
    }
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().der().clone())?;
    let mut client =
        ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    let client = Arc::new(client);

    for turn in 0..=options.turns {
        for place in 0..contenders.len() {
            // Each is first equally often.
            let count = contenders.len();
            let contender = &mut contenders[(turn + place) % count];
            let (mut over_tcp, mut alone) = (Duration::ZERO, Duration::ZERO);
            for handshake in 0..options.handshakes {
                let number = (turn * options.handshakes + handshake) % options.names;
                let name = ServerName::try_from(demo::name(number))?;
                let begun = Instant::now();
                visit(contender.address, &client, name.clone()).await?;
                over_tcp += begun.elapsed();
                alone += server_side(&contender.server, &client, name)?;
            }
            // The first turn warms up.
            if turn > 0 {
                contender.over_tcp.push(over_tcp);
                contender.server_alone.push(alone);
            }
        }
    }

    println!(
        "{} turns of {} full handshakes, TLS 1.3, X25519, ECDSA P-256; one thread for both sides",
        options.turns, options.handshakes
    );
    println!(
        "                          over TCP, with client          server's side alone        memory"
    );
    println!(
        "keys                      each     of plain (95 %)       each     of plain (95 %)   a key"
    );
    let (plain, handshakes) = (&contenders[0], options.handshakes);
    for (contender, memory) in contenders.iter().zip(memory) {
        println!(
            "{:24} {} {}   {memory:.0} B",
            contender.name,
            column(&contender.over_tcp, &plain.over_tcp, handshakes),
            column(&contender.server_alone, &plain.server_alone, handshakes),
        );
    }
    Ok(())
}

/// The median time of one handshake; and the median of how many there are while plain keys have one, with
/// its confidence range by order statistics.
fn column(own: &[Duration], plain: &[Duration], handshakes: usize) -> String {
    let mut each: Vec<f64> = own.iter().map(|time| time.as_secs_f64() * 1e6).collect();
    each.sort_by(f64::total_cmp);
    let mut ratios: Vec<f64> =
        own.iter().zip(plain).map(|(own, plain)| plain.as_secs_f64() / own.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let (count, middle) = (ratios.len() as f64, ratios.len() / 2);
    let reach = (0.98 * count.sqrt()).ceil() as usize;
    let (low, high) = (middle.saturating_sub(reach), (middle + reach).min(ratios.len() - 1));
    format!(
        "{:6.0} µs  {:.3} ({:.3} to {:.3})",
        each[each.len() / 2] / handshakes as f64,
        ratios[middle],
        ratios[low],
        ratios[high]
    )
}

/// A connection with a request and its answer.
async fn visit(
    address: std::net::SocketAddr,
    client: &Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<(), Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = TlsConnector::from(Arc::clone(client)).connect(name, stream).await?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err("no page came".into()) }
}

/// What a server's side of a handshake takes, without a network.
fn server_side(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Duration, Failure> {
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let mut taken = begun.elapsed();
    while client.is_handshaking() || server.is_handshaking() {
        there.clear();
        while client.wants_write() {
            client.write_tls(&mut there)?;
        }
        let begun = Instant::now();
        back.clear();
        let mut rest = &there[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest as &mut dyn Read)?;
            server.process_new_packets()?;
        }
        while server.wants_write() {
            server.write_tls(&mut back as &mut dyn Write)?;
        }
        taken += begun.elapsed();
        let mut rest = &back[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest)?;
            client.process_new_packets()?;
        }
    }
    Ok(taken)
}

/// Resident bytes for each of `count` keys, with what the allocator adds and the pointer to each.
fn bytes_for_each(
    share: &strongroom::Share,
    keeping: &Keeping,
    count: usize,
) -> Result<f64, Failure> {
    let mut kept = Vec::with_capacity(count);
    // Whatever the first one needs.
    keeping.keep(&KeyPair::generate(share)?)?;
    let before = resident()?;
    for _ in 0..count {
        kept.push(keeping.keep(&KeyPair::generate(share)?)?);
    }
    Ok((resident()? as f64 - before as f64) / count as f64)
}

/// Resident bytes of this process (`proc_pid_status(5)`).
fn resident() -> Result<usize, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS in /proc")?;
    Ok(kilobytes.trim().parse::<usize>()? * 1024)
}
