//! P11: a thousand live pulls on one server. The server is a process of its own, so that its memory can be told from the clients'.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use countersign::server::Server;

/// Makes this program the server of the benchmark: the directory to serve.
const DIR: &str = "COUNTERSIGN_BENCH_SERVE";

/// Serves, if this process was started to do that; until its input ends.
pub(crate) fn serve_if_asked() -> bool {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return false };
    rlimit::increase_nofile_limit(20_000).unwrap();
    let running = Server::new(dir).no_auth().start().unwrap();
    println!("{}", running.addr());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    running.shutdown(Duration::from_secs(10)).unwrap();
    true
}

/// The memory of so many idle live pulls, and how long it takes until all of them have an event; beside a loop that writes the
/// same bytes to as many sockets.
pub(crate) fn live_pulls(rounds: usize, pulls: usize) {
    rlimit::increase_nofile_limit(4 * pulls as u64 + 500).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(dir.path());
    let mut writer = Socket::open(server.addr);
    drop(Socket::pull(server.addr));
    let before = server.resident();
    let mut sockets: Vec<Socket> = (0..pulls).map(|_| Socket::pull(server.addr)).collect();
    let memory = (server.resident().saturating_sub(before)) as f64 / f64::from(1 << 20);
    let mut seq = 0;
    let ours = crate::median(rounds, 1, || {
        seq += 1;
        let start = Instant::now();
        writer.says(&push(seq));
        sockets.iter_mut().for_each(|socket| socket.hears(&format!("\"seqNum\":{seq},")));
        let took = start.elapsed();
        writer.hears(&format!("\"requestId\":\"{seq}\""));
        took
    });
    drop(sockets);
    let by_hand = by_hand(rounds, pulls);
    let ms = |nanos: f64| format!("{:.1} ms", nanos / 1e6);
    let goal = "30 ms";
    crate::print("P11", &format!("server: one event to {pulls} live pulls"), &ms(ours), &ms(by_hand), ours / by_hand, goal);
    let each = format!("{memory:.1} MB");
    crate::print(
        "P11",
        &format!("server: {pulls} idle live pulls beside the log"),
        &each,
        "-",
        memory / 20.0,
        "20 MB (ratio to it)",
    );
}

/// A thread that writes a chunk's bytes to every socket, and nothing else.
fn by_hand(rounds: usize, pulls: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..pulls {
        theirs.push(Socket(TcpStream::connect(addr).unwrap()));
        ours.push(listener.accept().unwrap().0);
    }
    let chunk = format!("{}\"end\"", "x".repeat(420));
    crate::median(rounds, 1, || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| ours.iter_mut().for_each(|socket| socket.write_all(chunk.as_bytes()).unwrap()));
            theirs.iter_mut().for_each(|socket| socket.hears("\"end\""));
        });
        start.elapsed()
    })
}

fn push(seq: u64) -> String {
    let event = format!(
        r#"{{"name":"v1.TodoSet","args":{{"id":"todo-{seq}","text":"Buy milk"}},"seqNum":{seq},"parentSeqNum":{},"clientId":"c","sessionId":"s"}}"#,
        seq - 1
    );
    format!(
        r#"{{"_tag":"Request","id":"{seq}","tag":"SyncWsRpc.Push","payload":{{"storeId":"s","batch":[{event}],"backendId":{{"_tag":"None"}}}}}}"#
    )
}

/// The memory of a process, in bytes; 0 where the system does not tell.
pub(crate) fn resident(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The server's process.
pub(crate) struct Process {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Process {
    pub(crate) fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, addr: line.trim().parse().unwrap() }
    }

    fn resident(&self) -> u64 {
        resident(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A WebSocket, as little of it as serves here.
struct Socket(TcpStream);

impl Socket {
    fn open(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        let upgrade = "GET /?storeId=s&transport=ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(upgrade.as_bytes()).unwrap();
        let mut socket = Self(stream);
        socket.hears("\r\n\r\n");
        socket
    }

    fn pull(addr: SocketAddr) -> Self {
        let mut socket = Self::open(addr);
        socket.says(
            r#"{"_tag":"Request","id":"0","tag":"SyncWsRpc.Pull","payload":{"storeId":"s","live":true,"cursor":{"_tag":"None"}}}"#,
        );
        socket.hears("NoMore");
        socket
    }

    /// In one frame, masked with zeros.
    fn says(&mut self, text: &str) {
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.0.write_all(&frame).unwrap();
    }

    fn hears(&mut self, text: &str) {
        let mut heard = Vec::new();
        let mut part = [0; 2048];
        loop {
            let n = self.0.read(&mut part).unwrap();
            assert!(n > 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend(&part[..n]);
            if heard.windows(text.len()).any(|window| window == text.as_bytes()) {
                return;
            }
        }
    }
}
