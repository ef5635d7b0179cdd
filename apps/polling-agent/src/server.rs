//! The other side, for demonstrations: a real HTTP server with basic authentication, whose passwords lie in
//! its memory as they are.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Failure;

/// What each endpoint wants to see as `Authorization`.
type Wanted = Arc<RwLock<Vec<String>>>;

/// Serves `/endpoint/0` and so on. It writes a line `URL USER:PASSWORD` for each to standard output, and
/// an empty one; and all of them anew, with other passwords, for each line that it reads.
pub(crate) async fn run(listen: SocketAddr, endpoints: usize) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let address = listener.local_addr()?;
    let wanted = Wanted::default();
    wanted.write().unwrap_or_else(PoisonError::into_inner).resize(endpoints, String::new());
    let (names, ended) = (Arc::clone(&wanted), Arc::new(tokio::sync::Notify::new()));
    let end = Arc::clone(&ended);
    // What it writes may have to wait for its reader; the answers do not.
    thread::spawn(move || {
        if let Err(error) = hand_out(&names, address) {
            eprintln!("error: the passwords could not be handed out: {error}");
        }
        end.notify_one();
    });
    let accept = async {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let wanted = Arc::clone(&wanted);
            let service = service_fn(move |request| {
                let answer = answer(&request, &wanted);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    };
    tokio::select! { () = accept => {}, () = ended.notified() => {} }
    Ok(())
}

/// Makes passwords, first and whenever a line comes in; ends with the one who sends them.
fn hand_out(wanted: &RwLock<Vec<String>>, address: SocketAddr) -> io::Result<()> {
    let mut random = File::open("/dev/urandom")?;
    let endpoints = wanted.read().unwrap_or_else(PoisonError::into_inner).len();
    let mut lines = io::stdin().lock().lines();
    let mut delay = Duration::ZERO;
    loop {
        for begin in (0..endpoints).step_by(TOGETHER) {
            let mut text = String::new();
            for number in begin..(begin + TOGETHER).min(endpoints) {
                let mut bytes = [0; 18];
                random.read_exact(&mut bytes)?;
                let secret = format!("user-{number}:{}", Base64::encode_string(&bytes));
                let header = format!("Basic {}", Base64::encode_string(secret.as_bytes()));
                wanted.write().unwrap_or_else(PoisonError::into_inner)[number] = header;
                for part in [&format!("http://{address}/endpoint/{number} "), &secret, "\n"] {
                    text.push_str(part);
                }
            }
            // They hold already, and who polls does not know them yet.
            thread::sleep(delay);
            print_all(&text)?;
        }
        print_all("\n")?;
        if lines.next().transpose()?.is_none() {
            return Ok(());
        }
        delay = Duration::from_millis(25);
    }
}

fn print_all(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Passwords that are replaced together.
const TOGETHER: usize = 50;

fn answer(request: &Request<Incoming>, wanted: &RwLock<Vec<String>>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let number = request.uri().path().strip_prefix("/endpoint/").and_then(|end| end.parse().ok());
    let wanted = wanted.read().unwrap_or_else(PoisonError::into_inner);
    let Some((number, wanted)) =
        number.and_then(|number: usize| Some((number, wanted.get(number)?)))
    else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let given = request.headers().get(header::AUTHORIZATION);
    if given.is_some_and(|given| given.as_bytes() == wanted.as_bytes()) {
        *response.body_mut() = Full::from(format!("endpoint {number} is well\n"));
    } else {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let basic = header::HeaderValue::from_static("Basic realm=\"endpoint\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    response
}
