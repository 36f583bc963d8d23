//! What a client may cost, and what it is told when it costs more.

use super::*;

const PING: &str = r#"{"_tag":"Ping"}"#;

#[test]
fn a_message_that_is_too_large_ends_its_connection_with_a_word() {
    let site = Site::limited(|limits| limits.message_bytes = 1_000_000);
    let mut client = site.client("a");
    let mut other = site.client("a");
    // Whether all of it could be sent depends on when the server has seen enough.
    let _ = client.socket.send(Message::text(" ".repeat(1_000_001)));
    let (code, reason) = client.hears_goodbye();
    assert!(code == 1009 && reason.contains("1000000 bytes"), "{code} {reason}");
    assert!(other.is_well());
    let (status, text) = post(site.addr(), "a", &" ".repeat(1_000_001));
    assert!(status == 413 && text.contains("1000000 bytes"), "{status} {text}");
    // Also if far more was to come.
    let (status, text) = post(site.addr(), "a", &" ".repeat(20_000_000));
    assert!(status == 413 && text.contains("1000000 bytes"), "{status} {text}");
    let padded = format!("{PING}{}", " ".repeat(1_000_000 - PING.len()));
    assert_eq!(post(site.addr(), "a", &padded).1, r#"[{"_tag":"Pong"}]"#);
}

/// What many clients send at once has a limit too, and who asks for little is served all the same.
#[test]
fn messages_that_arrive_at_once_have_room_for_all_of_them_together() {
    let limits = Limits { message_bytes: 1_000_000, arriving_bytes: 2_000_000, ..Limits::default() };
    let site = Site::with(|server| server.no_auth().limits(limits).metrics(local()));
    // A frame of a million bytes, of which the last ones do not come.
    let part = [&[0x81, 0xff, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0, 0, 0][..], &vec![b' '; 900_000]].concat();
    let mut hoarders: Vec<Client> = (0..2).map(|_| site.client("a")).collect();
    for hoarder in &mut hoarders {
        hoarder.socket.get_mut().write_all(&part).unwrap();
    }
    let no_room = "countersign_refusals_total{reason=\"no_room\"}";
    until("there is no room left", || {
        // Whoever has been given room keeps it: the next one may have come before the first two.
        let mut another = site.client("b");
        let _ = another.socket.get_mut().write_all(&part);
        hoarders.push(another);
        site.figure(no_room) > 0.0
    });
    let before = site.figure(no_room);
    let (status, text) = post(site.addr(), "a", &" ".repeat(900_000));
    assert!(status == 503 && text.contains("no room"), "{status} {text}");
    // One of those above may be refused only now.
    assert!(site.figure(no_room) > before);
    assert_eq!(site.client("a").push(&batch(1..=10)), success());
    // Who gets on gives back.
    hoarders.clear();
    until("there is room again", || post(site.addr(), "a", &format!("{PING}{}", " ".repeat(900_000))).0 == 200);
}

/// A line that is slow is not one that is dead.
#[test]
fn a_message_may_take_longer_than_a_silence() {
    let silence = Duration::from_secs(2);
    let site = Site::limited(|limits| (limits.silence, limits.transfer) = (silence, silence));
    let message = format!("{PING}{}", " ".repeat(900_000 - PING.len()));
    let mut frame = vec![0x81, 0xff, 0, 0, 0, 0];
    frame.extend(900_000_u32.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(message.as_bytes());
    let mut client = site.client("a");
    let head = format!(
        "POST /?storeId=a&transport=http HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        message.len()
    );
    let request = [head.as_bytes(), message.as_bytes()].concat();
    let mut stream = tcp(site.addr());
    let began = Instant::now();
    let parts = 100;
    for n in 0..parts {
        let part = |all: &[u8]| all[n * all.len() / parts..(n + 1) * all.len() / parts].to_vec();
        client.socket.get_mut().write_all(&part(&frame)).unwrap();
        stream.write_all(&part(&request)).unwrap();
        // The slow line itself.
        std::thread::sleep(silence / 32);
    }
    assert!(began.elapsed() > 3 * silence);
    assert_eq!(client.hears()["_tag"], "Pong");
    assert_eq!(answer(&mut stream), (200, r#"[{"_tag":"Pong"}]"#.to_owned()));
}

#[test]
fn connections_are_counted_by_address_and_in_all() {
    let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
    let everywhere = ([0, 0, 0, 0], 0).into();
    let site = Site::with(|server| server.no_auth().limits(limits).listen(everywhere).metrics(local()));
    let at = |address: [u8; 4]| (address, site.addr().port()).into();
    let dial = |address: [u8; 4]| Client::dial(at(address), "a", None);
    // The peer's address is the same as the one that was dialled, on loopback.
    let first = dial([127, 0, 0, 1]).unwrap();
    let mut second = dial([127, 0, 0, 1]).unwrap();
    let (status, text) = dial([127, 0, 0, 1]).err().unwrap();
    assert!(status == 429 && text.contains("your address"), "{status} {text}");
    let third = dial([127, 0, 0, 2]);
    let Ok(third) = third else { return };
    let (status, text) = dial([127, 0, 0, 3]).err().unwrap();
    assert!(status == 503 && text.contains("try again later"), "{status} {text}");
    let refused = site.figure("countersign_refusals_total{reason=\"connections\"}");
    assert!(second.is_well() && refused == 1.0, "{refused}");
    drop((first, third));
    until("a place is given back", || dial([127, 0, 0, 1]).is_ok());
}

#[test]
fn stores_are_counted() {
    let site = Site::limited(|limits| limits.stores = 2);
    for store in ["a", "b"] {
        assert_eq!(site.client(store).push(&batch(1..=1)), success());
    }
    let (status, text) = Client::dial(site.addr(), "c", None).err().unwrap();
    assert!(status == 507 && text.contains("2 stores"), "{status} {text}");
    assert!(site.client("b").is_well());
    assert_eq!(files(&site.logs(), ".eventlog"), ["a.eventlog", "b.eventlog"]);
}

#[test]
fn stores_that_are_open_are_counted_and_those_that_nobody_uses_make_room() {
    let site = Site::limited(|limits| limits.open_stores = 2);
    let (first, mut second) = (site.client("a"), site.client("b"));
    let (status, text) = Client::dial(site.addr(), "c", None).err().unwrap();
    assert!(status == 503 && text.contains("2 stores open") && text.contains("try again later"), "{status} {text}");
    let (status, text) = post(site.addr(), "c", PING);
    assert!(status == 503 && text.contains("2 stores open"), "{status} {text}");
    assert!(site.client("a").is_well() && second.is_well());
    drop(first);
    until("there is room for another one", || Client::dial(site.addr(), "c", None).is_ok());
    assert!(second.is_well());
    assert_eq!(files(&site.logs(), ".eventlog"), ["a.eventlog", "b.eventlog", "c.eventlog"]);
}

#[test]
fn pulls_of_a_connection_are_counted() {
    let site = Site::limited(|limits| limits.pulls = 2);
    let mut client = site.client("a");
    for _ in 0..2 {
        client.pulls(true, None);
        client.hears();
    }
    client.pulls(true, None);
    let exit = client.hears()["exit"].clone();
    assert!(error(&exit)["defect"].as_str().unwrap().contains("2 pulls"), "{exit}");
    assert!(client.is_well());
}

/// What waits for a client that takes nothing stays in the log; it is cut off, and others never notice.
#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let limits = Limits { transfer: Duration::from_secs(2), ..Limits::default() };
    let site = Site::with(|server| server.no_auth().limits(limits).metrics(local()));
    let mut writer = site.client("a");
    let mut slow: Vec<Client> = (0..3).map(|_| site.client("a")).collect();
    for client in &mut slow {
        client.pulls(true, None);
    }
    until("they pull", || site.figure("countersign_pulls") == 3.0);
    // More than the system's own buffers take.
    for seq in 1..=20 {
        assert_eq!(writer.push(&[event(seq, &"x".repeat(800_000))]), success());
    }
    until("they are cut off", || site.figure("countersign_refusals_total{reason=\"slow\"}") == 3.0);
    assert!(writer.is_well());
    slow.clear();
    assert_eq!(writer.history().len(), 20);
}

#[test]
fn who_says_nothing_is_pinged_and_then_given_up() {
    let site = Site::limited(|limits| limits.silence = Duration::from_millis(700));
    let (mut answers, mut silent) = (site.client("a"), site.client("a"));
    // Reading is answering: the library sends the pongs. Three are more than who does not answer lives to see.
    for _ in 0..3 {
        assert!(matches!(answers.socket.read().unwrap(), Message::Ping(_)));
        answers.socket.flush().unwrap();
    }
    assert!(answers.is_well());
    let (code, reason) = silent.hears_goodbye();
    assert!(code == 1001 && reason.contains("nothing was heard"), "{code} {reason}");
}

#[test]
fn who_does_not_finish_a_request_is_not_waited_for() {
    let site = Site::limited(|limits| {
        limits.handshake = Duration::from_secs(2);
        limits.transfer = Duration::from_secs(2);
    });
    let mut ended = Vec::new();
    for start in ["", "GET /?storeId=a&transport=ws HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = tcp(site.addr());
        stream.write_all(start.as_bytes()).unwrap();
        stream.read_to_end(&mut ended).unwrap();
    }
    let mut stream = tcp(site.addr());
    stream.write_all(b"POST /?storeId=a&transport=http HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").unwrap();
    let (status, text) = answer(&mut stream);
    assert!(status == 408 && text.contains("too long"), "{status} {text}");
    assert!(site.client("a").is_well());
}

#[test]
fn limits_that_nothing_fits_in_are_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { message_bytes: 10, ..Limits::default() };
    let error = Server::new(dir.path()).no_auth().limits(limits).start().unwrap_err();
    assert!(error.to_string().contains("`message_bytes` is 10"), "{error}");
}
