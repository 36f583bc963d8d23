//! A thousand live pulls that have nothing to do.
#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use countersign::Settled;

use crate::support::{LONG, Noted, Server, store};

const PULLS: u64 = 1_000;
/// For all of them, in bytes.
const MEMORY: u64 = 20 << 20;

#[test]
fn they_cost_little_and_all_hear_of_an_event() {
    let granted = rlimit::increase_nofile_limit(PULLS + 200).unwrap();
    assert!(granted >= PULLS + 200, "this test needs {PULLS} open files, and the system allows {granted}: raise `ulimit -n`");
    let dir = tempfile::tempdir().unwrap();
    let serving = Server::start(&dir.path().join("logs"), "127.0.0.1:0", &["--no-auth"]);
    let writer = store(&dir.path().join("s.db"), serving.addr);
    let note = |text: &str| {
        let receipt = writer.commit(Noted { text: text.to_owned() }).unwrap();
        assert!(matches!(receipt.backend_sync.wait_timeout(LONG), countersign::Waited::Settled(Ok(Settled::Confirmed(_)))));
    };
    note("before");
    drop(Pull::begin(serving.addr));
    let before = resident(serving.pid);
    let mut pulls: Vec<Pull> = (0..PULLS).map(|_| Pull::begin(serving.addr)).collect();
    let cost = resident(serving.pid).saturating_sub(before);
    assert!(cost <= MEMORY, "{PULLS} idle pulls cost {cost} bytes");
    note("to all");
    for pull in &mut pulls {
        pull.hears("to all");
    }
    drop(pulls);
    drop(writer);
    serving.signal("-TERM");
    assert_eq!(serving.ended().1.code(), Some(0));
}

/// What a process has in memory, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// A client that costs no more than its socket.
struct Pull(TcpStream);

impl Pull {
    fn begin(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let upgrade = "GET /?storeId=notes&transport=ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(upgrade.as_bytes()).unwrap();
        let pull = r#"{"_tag":"Request","id":"1","tag":"SyncWsRpc.Pull","payload":{"storeId":"notes","live":true,"cursor":{"_tag":"None"}}}"#;
        // Masked with zeros: a frame of its own text, with its length in two bytes.
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(u16::try_from(pull.len()).unwrap().to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(pull.as_bytes());
        stream.write_all(&frame).unwrap();
        let mut begun = Self(stream);
        begun.hears("before");
        begun
    }

    /// Reads until this has come.
    fn hears(&mut self, text: &str) {
        let mut heard = Vec::new();
        let mut part = [0; 1024];
        while !String::from_utf8_lossy(&heard).contains(text) {
            let n = self.0.read(&mut part).unwrap();
            assert!(n > 0, "{}", String::from_utf8_lossy(&heard));
            heard.extend(&part[..n]);
        }
    }
}
