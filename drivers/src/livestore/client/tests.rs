//! The pure client against scripts and against a model of a server with all of LiveStore's quirks.

use std::time::{Duration, Instant};

use countersign_core::{BackendFailure, BackendId, Event, Page, Pull, PulledEvent};
use serde_json::{Value, json};

use super::*;
use crate::livestore::protocol::{
    Call, Cause, ClientMessage, Dialect, Exit, Fail, Ours, PageInfo, Request, RequestId, SuccessValue, chunk, decode_client,
    defect, encode_event, encode_item, exit, pong,
};

const STALL: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(10);
const NONE: PageInfo = PageInfo::NoMore;
const MORE: PageInfo = PageInfo::MoreUnknown;

fn event(seq: u64) -> PulledEvent {
    let event = Event { name: "n".into(), args: format!("[{seq}]").into(), client_only: false };
    PulledEvent { seq, parent: seq - 1, client: "c".into(), session: "s".into(), ids: None, event: event.into() }
}

/// A chunk with these events for request `id`.
fn page(id: u64, seqs: impl IntoIterator<Item = u64>, info: PageInfo) -> String {
    let items: Vec<_> = seqs.into_iter().map(|seq| encode_item(&encode_event(&event(seq)).unwrap(), None)).collect();
    chunk(&RequestId::of(id), &items, info, &BackendId::from("b"))
}

/// A client, a clock that stands still unless told, and what the client has sent.
struct Side {
    client: PullClient,
    now: Instant,
}

impl Side {
    fn new(after: u64, fresh: bool) -> Self {
        let now = Instant::now();
        let mut side = Self { client: PullClient::new("store".into(), None, Pace::default(), now), now };
        side.begin(after, fresh);
        side
    }

    fn begin(&mut self, after: u64, fresh: bool) {
        self.client.begin(&Pull { after, fresh, backend: Some("b".into()) }, self.now);
    }

    fn hears(&mut self, frame: String) -> &mut Self {
        self.client.frame(frame.as_bytes(), self.now).unwrap();
        self
    }

    fn fails(&mut self, frame: &str) -> BackendFailure {
        self.client.frame(frame.as_bytes(), self.now).unwrap_err()
    }

    /// What it sends, in short: `pull 1 >5 live`, `ack 1`.
    fn sends(&mut self) -> Vec<String> {
        let short = |message: &ClientMessage| match message {
            ClientMessage::Ping => "ping".to_owned(),
            ClientMessage::Ack { request } => format!("ack {request}"),
            ClientMessage::Interrupt { request } => format!("interrupt {request}"),
            ClientMessage::Request(Request { id, call: Ok(Call::Pull(pull)) }) => {
                let after = pull.cursor.as_ref().map_or(0, |cursor| cursor.event_sequence_number);
                format!("pull {id} >{after}{}", if pull.live { " live" } else { "" })
            }
            other => panic!("{other:?}"),
        };
        let frames = std::iter::from_fn(|| self.client.poll_frame());
        frames.map(|frame| short(&decode_client(frame.as_bytes()).unwrap()[0])).collect()
    }

    /// The positions of the next page, and whether more follows.
    fn page(&mut self) -> Option<(Vec<u64>, bool)> {
        let Page { events, more, backend } = self.client.poll_page()?;
        assert_eq!(&*backend, "b");
        Some((events.iter().map(|event| event.seq).collect(), more))
    }

    fn passes(&mut self, time: Duration) -> Result<(), BackendFailure> {
        self.now += time;
        self.client.tick(self.now)
    }
}

// Verifies: L2
#[test]
fn each_chunk_is_acknowledged_once_and_handed_out() {
    let mut side = Side::new(4, true);
    assert_eq!(side.sends(), ["pull 1 >4 live"]);
    side.hears(page(1, 5..=6, MORE)).hears(page(1, 7..=7, NONE));
    assert_eq!(side.sends(), ["ack 1", "ack 1"]);
    assert_eq!(side.page(), Some((vec![5, 6], true)));
    side.begin(6, false);
    assert_eq!(side.page(), Some((vec![7], false)));
    side.begin(7, false);
    assert_eq!((side.page(), side.sends().len()), (None, 0), "the stream runs on");
    side.hears(page(1, 8..=8, NONE));
    assert_eq!((side.page(), side.sends()), (Some((vec![8], false)), vec!["ack 1".to_owned()]));
}

#[test]
fn a_fresh_pull_is_answered_by_an_empty_page_and_one_that_follows_waits() {
    let mut side = Side::new(0, true);
    assert_eq!(side.sends(), ["pull 1 >0 live"]);
    side.hears(page(1, [], NONE));
    assert_eq!(side.page(), Some((vec![], false)));
    side.begin(0, false);
    side.hears(page(1, [], NONE));
    assert_eq!(side.page(), None);
    // What was told to follow and does not come is told too.
    side.hears(page(1, 1..=2, MORE));
    assert_eq!(side.page(), Some((vec![1, 2], true)));
    side.begin(2, false);
    side.hears(page(1, [], NONE));
    assert_eq!(side.page(), Some((vec![], false)));
}

// Verifies: L2, L3
#[test]
fn a_broadcast_that_overtakes_history_is_dropped_and_asked_for_again() {
    let mut side = Side::new(0, true);
    side.hears(page(1, [9], NONE)).hears(page(1, 1..=3, MORE)).hears(page(1, [10], NONE)).hears(page(1, 3..=6, NONE));
    assert_eq!(side.page(), Some((vec![1, 2, 3], true)));
    assert_eq!(side.page(), Some((vec![4, 5, 6], true)), "more is known to follow");
    assert_eq!(side.sends(), ["pull 1 >0 live", "ack 1", "ack 1", "ack 1", "ack 1", "interrupt 1", "pull 2 >6 live"]);
    side.hears(page(1, [7], NONE));
    assert_eq!((side.page(), side.sends().len()), (None, 0), "a chunk of a call that is over is not even acknowledged");
    side.hears(page(2, 7..=10, NONE));
    assert_eq!(side.page(), Some((vec![7, 8, 9, 10], false)));
    // And one that comes twice is handed out once.
    side.begin(10, false);
    side.hears(page(2, [10], NONE)).hears(page(2, 10..=11, NONE));
    assert_eq!(side.page(), Some((vec![11], false)));
}

#[test]
fn a_broadcast_that_leaves_a_gap_makes_a_new_pull_at_once() {
    let mut side = Side::new(3, true);
    side.hears(page(1, [4], NONE));
    side.page();
    side.begin(4, false);
    side.sends();
    side.hears(page(1, [6], NONE));
    assert_eq!(side.sends(), ["ack 1", "interrupt 1", "pull 2 >4 live"]);
    side.hears(page(2, 5..=6, NONE));
    assert_eq!(side.page(), Some((vec![5, 6], false)));
}

// Verifies: L8
#[test]
fn a_gap_in_the_log_itself_is_shown_to_who_asked() {
    // Inside a page, or before one that more follows: it is history's order.
    let mut side = Side::new(0, true);
    side.hears(page(1, [1, 2, 5], NONE));
    assert_eq!(side.page(), Some((vec![1, 2, 5], false)));
    let mut side = Side::new(2, true);
    side.hears(page(1, [5, 6], MORE));
    assert_eq!(side.page(), Some((vec![5, 6], true)));
    // Before the last page: it could be a broadcast, until a pull that ends has shown it again.
    let mut side = Side::new(2, true);
    side.hears(page(1, [5], NONE));
    side.sends();
    assert_eq!((side.page(), side.passes(STALL)), (None, Ok(())));
    assert_eq!(side.sends(), ["ping", "interrupt 1", "pull 2 >2"]);
    side.hears(page(2, [5], NONE)).hears(exit(&RequestId::of(2), &Exit::Success(SuccessValue::Nothing), Dialect::Tree));
    assert_eq!(side.page(), Some((vec![5], false)));
    side.begin(2, true);
    assert_eq!(side.sends(), ["ack 2", "pull 3 >2 live"]);
}

// Verifies: L3
#[test]
fn history_that_the_backend_has_forgotten_is_pulled_again() {
    let mut side = Side::new(0, true);
    side.hears(page(1, 1..=3, MORE));
    side.page();
    side.begin(3, false);
    side.sends();
    side.passes(STALL - Duration::from_millis(1)).unwrap();
    assert!(side.sends().is_empty());
    side.hears(pong());
    side.passes(Duration::from_millis(1)).unwrap();
    assert_eq!(side.sends(), ["interrupt 1", "pull 2 >3 live"]);
    side.client.heard(side.now);
    side.passes(STALL / 2).unwrap();
    side.client.heard(side.now);
    side.passes(STALL / 2).unwrap();
    assert!(side.sends().is_empty(), "a page that comes slowly is waited for");
    side.hears(page(2, 4..=4, NONE));
    assert_eq!(side.page(), Some((vec![4], false)));
}

#[test]
fn pulls_that_are_never_answered_fail_although_pings_are() {
    let mut side = Side::new(0, true);
    let mut failed = None;
    let start = side.now;
    while failed.is_none() {
        let deadline = side.client.deadline() - side.now;
        failed = side.passes(deadline).err();
        if side.sends().contains(&"ping".to_owned()) {
            side.hears(pong());
        }
    }
    let Some(BackendFailure::Unreachable { message, maybe_applied: false }) = failed else { panic!("{failed:?}") };
    assert!(message.contains("without an answer"), "{message}");
    assert_eq!(side.now - start, 3 * STALL);
}

#[test]
fn a_dead_peer_is_noticed_within_20_seconds() {
    let mut side = Side::new(0, true);
    side.hears(page(1, [], NONE));
    side.page();
    side.begin(0, false);
    side.sends();
    assert_eq!(side.client.deadline() - side.now, EVERY);
    side.passes(EVERY).unwrap();
    assert_eq!(side.sends(), ["ping"]);
    assert_eq!(side.client.deadline() - side.now, EVERY);
    side.hears(pong());
    side.passes(EVERY).unwrap();
    assert_eq!(side.sends(), ["ping"]);
    let failure = side.passes(EVERY).unwrap_err();
    assert!(
        matches!(&failure, BackendFailure::Unreachable { message, maybe_applied: false } if message.contains("20s")),
        "{failure:?}"
    );
    // Nobody listened for an hour: that proves nothing about the peer.
    let mut side = Side::new(0, true);
    side.hears(page(1, [], NONE));
    side.passes(EVERY).unwrap();
    side.now += Duration::from_secs(3600);
    side.page();
    side.begin(0, false);
    assert_eq!(side.client.tick(side.now), Ok(()));
}

#[test]
fn failures_come_in_their_classes() {
    let of = |cause: Value| {
        let mut side = Side::new(0, true);
        side.fails(&json!({"_tag": "Exit", "requestId": "1", "exit": {"_tag": "Failure", "cause": cause}}).to_string())
    };
    let unknown = |message: &str| BackendFailure::Unknown { message: message.into() };
    let mismatch = json!({"_tag": "Fail", "error": {"expected": "theirs", "received": "b", "_tag": "BackendIdMismatchError"}});
    for cause in [mismatch.clone(), json!([{"_tag": "Interrupt"}, mismatch])] {
        assert_eq!(of(cause), BackendFailure::Identity { theirs: "theirs".into() });
    }
    let hook = json!({"_tag": "UnknownError", "cause": {"name": "Error", "message": "rejected by onPull"}});
    assert_eq!(of(json!([{"_tag": "Fail", "error": hook}])), unknown("rejected by onPull"));
    assert_eq!(of(json!({"_tag": "Die", "defect": "Expected string"})), unknown("Expected string"));
    assert!(matches!(of(json!([])), BackendFailure::Unreachable { maybe_applied: false, .. }));
    let auth = Fail::Unknown { message: "no".into(), ours: Some(Ours::NeedsAuth("expired".into())) };
    let failure = Side::new(0, true).fails(&exit(&RequestId::of(1), &Exit::fail(auth), Dialect::Tree));
    assert_eq!(failure, BackendFailure::NeedsAuth { message: "expired".into() });
    assert!(matches!(Side::new(0, true).fails(&defect("what?")), BackendFailure::Unknown { .. }));
    assert!(matches!(Side::new(0, true).fails("<html>"), BackendFailure::Unreachable { .. }));
    assert!(matches!(
        Side::new(0, true).fails(r#"{"_tag":"Chunk","requestId":"1","values":[{}]}"#),
        BackendFailure::Unknown { .. }
    ));
    // After any of them the connection is good for the next pull.
    let mut side = Side::new(0, true);
    side.fails(&defect("what?"));
    side.sends();
    side.begin(0, true);
    side.hears(page(2, [1], NONE));
    assert_eq!((side.sends(), side.page()), (vec!["pull 2 >0 live".to_owned(), "ack 2".into()], Some((vec![1], false))));
}

#[test]
fn a_push_is_answered_by_its_own_exit_only() {
    let push = countersign_core::Push { parent: 0, backend: None, events: vec![own(1, 5)] };
    let said = |frame: &str| PushCalls::new(&"c".into(), &push, None).unwrap().answer(3, frame.as_bytes());
    let ended = |ended: Exit| said(&exit(&RequestId::of(3), &ended, Dialect::List)).unwrap();
    assert_eq!(said(&page(3, [1], NONE)), None);
    assert_eq!(said(&exit(&RequestId::of(2), &Exit::Failure(vec![]), Dialect::List)), None);
    assert_eq!(ended(Exit::Success(SuccessValue::Pushed)), Ok(()));
    let ahead = |minimum_expected| Exit::fail(Fail::ServerAhead { minimum_expected, provided: 0 });
    assert_eq!(ended(ahead(7)), Err(BackendFailure::ServerAhead { head: 7 }));
    assert!(matches!(ended(ahead(-5)), Err(BackendFailure::Unknown { .. })));
    let refused = vec![(0, "too late".into())];
    let ours = Fail::Unknown { message: "no".into(), ours: Some(Ours::Refused(refused.clone())) };
    assert_eq!(ended(Exit::fail(ours)), Err(BackendFailure::Refused { events: refused }));
    let cancelled = ended(Exit::Failure(vec![Cause::Interrupt]));
    assert!(matches!(cancelled, Err(BackendFailure::Unreachable { maybe_applied: true, .. })), "{cancelled:?}");
    let noise = said("\u{1}").unwrap();
    assert!(matches!(noise, Err(BackendFailure::Unreachable { maybe_applied: true, .. })), "{noise:?}");
}

// Verifies: L7
#[test]
fn a_batch_beyond_the_limits_is_cut_and_a_part_of_it_is_never_called_none() {
    use crate::livestore::protocol::{MESSAGE_BYTES, Transport};
    let events = vec![own(1, 400_000), own(2, 400_000), own(3, 400_000)];
    let push = countersign_core::Push { parent: 6, backend: Some("b".into()), events };
    let payload = json!({"authToken": "t".repeat(1_000)});
    let mut calls = PushCalls::new(&"c".into(), &push, Some(&payload)).unwrap();
    let ahead = exit(&RequestId::of(9), &Exit::fail(Fail::ServerAhead { minimum_expected: 7, provided: 6 }), Dialect::Tree);
    let mut sizes = Vec::new();
    while let Some(call) = calls.next(Transport::Ws, 9, "store", Some(&payload)) {
        assert!(call.len() <= MESSAGE_BYTES);
        let Some(ClientMessage::Request(Request { call: Ok(Call::Push(push)), .. })) =
            decode_client(call.as_bytes()).unwrap().pop()
        else {
            panic!()
        };
        sizes.push(push.events.iter().map(|event| (event.seq, event.ids.unwrap().ordinal)).collect::<Vec<_>>());
        if sizes.len() == 1 {
            let taken = exit(&RequestId::of(9), &Exit::Success(SuccessValue::Pushed), Dialect::Tree);
            assert_eq!(calls.answer(9, taken.as_bytes()), Some(Ok(())));
        }
    }
    assert_eq!(sizes, [vec![(7, 1), (8, 2)], vec![(9, 3)]]);
    let partly = calls.answer(9, ahead.as_bytes()).unwrap();
    assert!(matches!(partly, Err(BackendFailure::Unreachable { maybe_applied: true, .. })), "{partly:?}");
}

fn own(ordinal: u64, bytes: usize) -> countersign_core::OwnEvent {
    let args = format!("\"{}\"", "x".repeat(bytes));
    countersign_core::OwnEvent {
        id: countersign_core::EventId { session: countersign_core::SessionId([1; 16]), ordinal },
        commit: ordinal,
        last: true,
        guard: None,
        event: Event { name: "n".into(), args: args.into(), client_only: false }.into(),
    }
}

/// A server whose broadcasts overtake history, that forgets pulls, and says things twice.
struct Model {
    random: u64,
    head: u64,
    subscribed: Vec<u64>,
    /// The call, what is sent of its history, its end, and whether a page of it waits for its acknowledgement.
    paging: Option<(u64, u64, u64, bool)>,
    live: bool,
    wire: Vec<String>,
}

impl Model {
    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % end
    }

    fn hears(&mut self, frame: &str) {
        for message in decode_client(frame.as_bytes()).unwrap() {
            match message {
                ClientMessage::Ping => self.wire.push(pong()),
                ClientMessage::Interrupt { request } => self.subscribed.retain(|id| !request.is(*id)),
                ClientMessage::Ack { request } => {
                    if let Some((id, _, _, waits)) = &mut self.paging
                        && request.is(*id)
                    {
                        *waits = false;
                    }
                }
                ClientMessage::Request(Request { id, call: Ok(Call::Pull(pull)) }) => {
                    let id = id.to_string().parse().unwrap();
                    self.subscribed.push(id);
                    let after = pull.cursor.map_or(0, |cursor| cursor.event_sequence_number);
                    self.paging = Some((id, after, self.head, false));
                    self.live = pull.live;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn acts(&mut self) {
        if let Some((id, sent, end, false)) = self.paging {
            let until = (sent + 1 + self.below(4)).min(end);
            let info = if until < end { PageInfo::MoreKnown { remaining: end - until } } else { NONE };
            self.wire.push(page(id, sent + 1..=until, info));
            self.paging = (until < end).then_some((id, until, end, true));
            if until == end && !self.live {
                self.wire.push(exit(&RequestId::of(id), &Exit::Success(SuccessValue::Nothing), Dialect::Tree));
            }
        }
        if self.below(3) == 0 {
            let first = self.head + 1;
            self.head += 1 + self.below(3);
            for id in self.subscribed.clone() {
                self.wire.push(page(id, first..=self.head, NONE));
                if self.below(4) == 0 {
                    self.wire.push(page(id, first..=self.head, NONE));
                }
            }
            // The older generation may broadcast in another order.
            if self.below(4) == 0 && self.wire.len() > 1 {
                let last = self.wire.len() - 1;
                self.wire.swap(last, last - 1);
            }
        }
        if self.below(40) == 0 {
            self.paging = None;
        }
    }
}

// Verifies: L2, L3, L8, S3
#[test]
fn whatever_overtakes_repeats_or_stalls_every_event_comes_once_and_in_order() {
    for seed in 1..=300_u64 {
        let mut server = Model {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            head: seed % 30,
            subscribed: vec![],
            paging: None,
            live: true,
            wire: vec![],
        };
        let mut side = Side::new(0, true);
        let mut have = 0;
        for step in 0.. {
            assert!(step < 5_000, "seed {seed} got stuck at {have} of {}", server.head);
            while let Some(frame) = side.client.poll_frame() {
                server.hears(&frame);
            }
            while let Some(page) = side.client.poll_page() {
                for event in &page.events {
                    assert_eq!((event.seq, event.parent), (have + 1, have), "seed {seed}");
                    have = event.seq;
                }
                side.begin(have, false);
            }
            if step < 200 || server.paging.is_some() {
                server.acts();
            } else if have == server.head && server.wire.is_empty() {
                break;
            }
            if server.wire.is_empty() {
                let wait = side.client.deadline().saturating_duration_since(side.now);
                side.passes(wait).unwrap();
            } else {
                let frame = server.wire.remove(0);
                side.hears(frame);
            }
        }
    }
}
