//! A server or client as a child process: its output in a file, ended with its owner.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::wait;

/// Lines of each output that are shown with a failure.
const TAIL: usize = 150;

/// A running child. Dropped, it is killed; if the test's thread dies first, the kernel kills it.
/// What it printed is shown when a failing test drops it, so the files have to live longer.
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts `command`; standard output and error go to `NAME.out` and `NAME.err` in `dir`.
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> Process {
        Self::start_in(None, name, dir, command)
    }

    /// The same in another network namespace, `/proc/PROCESS/ns/net` of one that is in it.
    pub fn start_in(
        namespace: Option<&Path>,
        name: &str,
        dir: &Path,
        command: &mut Command,
    ) -> Process {
        let (out, err) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.err")));
        let create = |path: &Path| {
            File::options().create(true).append(true).open(path).expect("a file for the output")
        };
        command.stdin(Stdio::null()).stdout(create(&out)).stderr(create(&err));
        let namespace = namespace.map(|path| File::open(path).expect("a network namespace"));
        // SAFETY: setns and prctl are async-signal-safe and touch only the child.
        unsafe {
            command.pre_exec(move || {
                let entered = match &namespace {
                    Some(namespace) => libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET),
                    None => 0,
                };
                if entered != 0 || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        Process { name: name.to_owned(), child, out, err }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file with its standard output.
    pub fn out(&self) -> &Path {
        &self.out
    }

    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: the child was not reaped yet, so its id is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    pub fn kill9(&mut self) {
        self.signal(libc::SIGKILL);
        let _ = self.child.wait();
    }

    /// SIGTERM, then waits for the end.
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait(limit)
    }

    /// Waits for the end; fails past `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let ended = wait::try_until(limit, || self.ended());
        ended.unwrap_or_else(|_| panic!("{} did not end in {limit:?}", self.name))
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// Waits until `probe` gives something; fails at once if the child ends before.
    pub fn ready<T>(&mut self, limit: Duration, mut probe: impl FnMut(&Process) -> Option<T>) -> T {
        let name = self.name.clone();
        wait::until(&format!("{name} to be ready"), limit, || {
            if let Some(status) = self.ended() {
                panic!(
                    "{name} ended ({:?}, {:?})\n{}",
                    status.code(),
                    status.signal(),
                    self.tail()
                );
            }
            probe(self)
        })
    }

    /// The last lines of both outputs, to show with a failure.
    pub fn tail(&self) -> String {
        let last = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL)..].join("\n")
        };
        format!("--- {} out\n{}\n--- err\n{}", self.name, last(self.stdout()), last(self.stderr()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.tail());
        }
        self.kill9();
    }
}

/// What a program that ran to its end left.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Output {
    /// Standard output of a run that ended well; fails with everything it printed if it did not.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "out:\n{}\nerr:\n{}", self.out, self.err);
        self.out
    }
}

/// Runs `command` to its end, with `input` on its standard input, at most `limit`.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Output {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let stdin = dir.path().join("in");
    std::fs::write(&stdin, input).expect("the input file");
    let name = Path::new(command.get_program()).file_name().expect("a program has a name");
    let name = name.to_string_lossy().into_owned();
    let mut child = Process::start_with_input(&name, dir.path(), command, &stdin);
    let status = child.wait(limit);
    Output { code: status.code(), out: child.stdout(), err: child.stderr() }
}

impl Process {
    fn start_with_input(name: &str, dir: &Path, command: &mut Command, stdin: &Path) -> Process {
        // `sh` gives the input, then becomes the program, so its id is the program's.
        let mut shell = Command::new("sh");
        shell.arg("-c").arg("exec \"$@\" < \"$0\"").arg(stdin);
        shell.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        Process::start(name, dir, &mut shell)
    }
}
