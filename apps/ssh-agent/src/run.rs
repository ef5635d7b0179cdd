//! The life of the process: in the foreground, in the background, or around a command.

use std::env;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use rustix::process::{DumpableBehavior, Pid, Signal, kill_process, set_dumpable_behavior, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdout};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::net::UnixListener;
use tokio::runtime;

use crate::agent::Agent;
use crate::arguments::Arguments;
use crate::confirm::Confirm;
use crate::log::{self, Log, say};
use crate::server::{self, Place};

/// What was not possible, for a person.
type Failure = String;

/// Does what the arguments say.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.kill {
        return end_another(is_csh(arguments));
    }
    let stays = arguments.foreground || arguments.in_background || !arguments.command.is_empty();
    if stays { be_the_agent(arguments) } else { go_to_the_background() }
}

/// Starts this program again, as a process that no terminal belongs to, and says what that says.
fn go_to_the_background() -> Result<ExitCode, Failure> {
    let failed = |error: io::Error| format!("it could not be started in the background: {error}");
    let mut child = Command::new("/proc/self/exe")
        .arg("--in-background")
        .args(env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut told = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut told).map_err(failed)?;
    }
    if told.is_empty() {
        // It has said on the terminal why.
        let status = child.wait().map_err(failed)?;
        return Ok(code_of(status));
    }
    print(&told)?;
    Ok(ExitCode::SUCCESS)
}

fn be_the_agent(arguments: &Arguments) -> Result<ExitCode, Failure> {
    // As OpenSSH's: nobody but root can trace it, and it dumps no core.
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    hidden.map_err(|error| format!("it could not be hidden from debuggers: {error}"))?;
    let log = log_of(arguments)?;
    if arguments.in_background {
        // It may be the leader of a session already, which is as good.
        let _ = setsid();
    }
    let signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM]);
    let signals = signals.map_err(|error| format!("signals could not be waited for: {error}"))?;

    let confirm = Confirm::new(arguments.confirm_time);
    let agent = Agent::new(arguments.budget, arguments.lifetime, confirm);
    let agent = Arc::new(agent.map_err(|error| error.to_string())?);
    let (listener, place) = Place::bind(arguments.socket.as_deref())?;
    let running = Arc::new(AtomicI32::new(NO_COMMAND));
    end_on_signals(signals, place.clone(), Arc::clone(&running), !arguments.command.is_empty());

    let done = (|| {
        if arguments.command.is_empty() {
            print(announcement(&place, is_csh(arguments)).as_bytes())?;
        }
        say(|| format!("{} for open keys, at {}", agent.memory(), place.path.display()));
        log::set(log, arguments.verbose);
        if arguments.in_background {
            leave_the_terminal()?;
        }
        serve(arguments, listener, &place, agent, &running)
    })();
    strongroom::wipe_all();
    place.remove();
    done
}

/// Serves until the command ends, or forever.
fn serve(
    arguments: &Arguments,
    listener: std::os::unix::net::UnixListener,
    place: &Place,
    agent: Arc<Agent>,
    running: &AtomicI32,
) -> Result<ExitCode, Failure> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let runtime = runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|error| format!("no threads could be started: {error}"))?;
    runtime.block_on(async {
        let failed = |error: io::Error| format!("the socket failed: {error}");
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        let expiring = Arc::clone(&agent);
        tokio::spawn(async move { expiring.remove_expired().await });
        let serving = tokio::spawn(server::serve(listener, agent));
        let Some((program, rest)) = arguments.command.split_first() else {
            let served = serving.await.map_err(|error| error.to_string())?;
            return served.map(|()| ExitCode::SUCCESS).map_err(failed);
        };
        let mut command = tokio::process::Command::new(program);
        command.args(rest).env("SSH_AUTH_SOCK", &place.path);
        command.env("SSH_AGENT_PID", process::id().to_string());
        let not_run = |error| format!("{} could not be run: {error}", program.display());
        let mut child = command.spawn().map_err(not_run)?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        running.store(id.unwrap_or(NO_COMMAND), Ordering::Release);
        let status = child.wait().await;
        running.store(NO_COMMAND, Ordering::Release);
        status.map(code_of).map_err(not_run)
    })
}

/// Wipes everything, removes the socket and ends, from a thread that waits for nothing else.
fn end_on_signals(mut signals: Signals, place: Place, running: Arc<AtomicI32>, has_command: bool) {
    thread::spawn(move || {
        for signal in signals.forever() {
            // The terminal sends these to the command too, which decides.
            if has_command && matches!(signal, SIGINT | SIGQUIT) {
                continue;
            }
            strongroom::wipe_all();
            place.remove();
            if let Some(command) = Pid::from_raw(running.load(Ordering::Acquire)) {
                let _ = kill_process(command, Signal::TERM);
            }
            say(|| "all keys were wiped, for it was told to end".into());
            process::exit(0);
        }
    });
}

/// Ends the agent that the environment names.
fn end_another(is_csh: bool) -> Result<ExitCode, Failure> {
    let id = env::var(PID).map_err(|_| format!("{PID} is not set: there is no agent to end"))?;
    let pid = id.parse().ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| format!("{PID} is {id:?}, which is no process"))?;
    kill_process(pid, Signal::TERM)
        .map_err(|error| format!("process {id} was not ended: {error}"))?;
    let unset = if is_csh { "unsetenv" } else { "unset" };
    print(format!("{unset} {SOCKET};\n{unset} {PID};\necho Agent pid {id} killed;\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What a shell is to run, as OpenSSH's agent prints it.
fn announcement(place: &Place, is_csh: bool) -> String {
    let id = process::id();
    let path = place.path.display();
    let setting = |name: &str, value: &dyn std::fmt::Display| {
        if is_csh {
            format!("setenv {name} {value};\n")
        } else {
            format!("{name}={value}; export {name};\n")
        }
    };
    setting(SOCKET, &path) + &setting(PID, &id) + &format!("echo Agent pid {id};\n")
}

fn is_csh(arguments: &Arguments) -> bool {
    let shell = env::var("SHELL").unwrap_or_default();
    arguments.csh || (!arguments.bourne && shell.ends_with("csh"))
}

fn log_of(arguments: &Arguments) -> Result<Log, Failure> {
    match &arguments.log {
        Some(path) => {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
            let failed = |error| format!("{} could not be written to: {error}", path.display());
            file.map(Log::File).map_err(failed)
        }
        None if arguments.in_background => Ok(Log::Nowhere),
        None => Ok(Log::Stderr),
    }
}

/// Whoever waits for this process to say all goes on.
fn leave_the_terminal() -> Result<(), Failure> {
    let failed = |error: io::Error| format!("it could not leave the terminal: {error}");
    let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(failed)?;
    env::set_current_dir("/").map_err(failed)?;
    dup2_stdout(&nowhere).map_err(|error| failed(error.into()))?;
    dup2_stderr(&nowhere).map_err(|error| failed(error.into()))
}

fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(bytes).and_then(|()| stdout.flush());
    printed.map_err(|error| format!("what a shell needs could not be printed: {error}"))
}

/// As shells have it.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

const SOCKET: &str = "SSH_AUTH_SOCK";
const PID: &str = "SSH_AGENT_PID";

/// No process has this number.
const NO_COMMAND: i32 = 0;

const MOST_THREADS: usize = 4;
