//! The push lane and the pull lane, and the network between them and the backend.

use countersign_core::{BackendFailure, EffectId, Input, Page, Push, Time};

use super::client::Stream;
use super::{Event, Violation, World};

/// How long a driver waits for the answer to a push, in microseconds.
const PUSH_DEADLINE: u64 = 5_000_000;
/// After how long a driver notices that nothing comes any more, in microseconds.
const KEEP_ALIVE: u64 = 20_000_000;
/// Requests without anything new that a client may make in ten seconds.
const BARREN: u32 = 45;

fn unreachable(message: &str, maybe_applied: bool) -> BackendFailure {
    BackendFailure::Unreachable { message: message.into(), maybe_applied }
}

impl World {
    fn latency(&mut self) -> u64 {
        300 + self.choices.below(self.swarm.delay)
    }

    /// A request is made: many without a reason are a busy loop.
    fn count_request(&mut self, c: usize) -> Result<(), Violation> {
        let now = self.now;
        let (count, since) = &mut self.clients[c].barren;
        if now.0 - since.0 > 10_000_000 {
            (*count, *since) = (0, now);
        }
        *count += 1;
        if *count > BARREN {
            return Err(Violation::new("V4", format!("{count} requests in {} us, and nothing new", now.0 - since.0)));
        }
        Ok(())
    }

    /// Something has happened that makes requests useful.
    pub(crate) fn news(&mut self, c: usize) {
        self.clients[c].barren = (0, self.now);
    }

    pub(crate) fn send_push(&mut self, c: usize, id: EffectId, push: Push) -> Result<(), Violation> {
        self.count_request(c)?;
        let client = &mut self.clients[c];
        if let Some((earlier, _)) = &client.push {
            return Err(Violation::new("L5", format!("push {} while {} is under way", id.0, earlier.0)));
        }
        self.model.pushed(&push, &client.disk, &client.config, &mut self.reach)?;
        client.push = Some((id, push.clone()));
        self.check_fence(c, &push)?;
        let client = &self.clients[c];
        let life = client.life;
        if !client.link || self.choices.chance(self.swarm.refuse_connection) {
            let after = self.latency();
            self.schedule(after, Event::PushReply(c, life, id, Some(Box::new(unreachable("connection refused", false)))));
            return Ok(());
        }
        let given_up = Some(Box::new(unreachable("no answer in time", true)));
        self.schedule(PUSH_DEADLINE, Event::PushReply(c, life, id, given_up));
        if self.choices.chance(self.swarm.duplicate) {
            let after = self.latency();
            self.schedule(after, Event::PushArrives(c, life, id, push.clone()));
        }
        if !self.choices.chance(self.swarm.lose_request) {
            let late = if self.choices.chance(self.swarm.late) { 2_000_000 + self.choices.below(20_000_000) } else { 0 };
            let after = self.latency() + late;
            self.schedule(after, Event::PushArrives(c, life, id, push));
        }
        Ok(())
    }

    /// The backend has a request before it. Whether its sender still lives makes no difference.
    pub(crate) fn push_arrives(&mut self, c: usize, life: u32, id: EffectId, push: &Push) -> Result<(), Violation> {
        let name = self.clients[c].name.clone();
        let answer = if self.clients[c].authorised {
            self.backend.push(&name, push)
        } else {
            Err(BackendFailure::NeedsAuth { message: "token expired".into() })
        };
        self.transcript.line(self.now, "BE", || {
            let first = push.events.first().map(|own| own.id);
            format!("push #{} of {name} after e{} ({} events from {first:?}): {answer:?}", id.0, push.parent, push.events.len())
        });
        if answer.is_ok() {
            self.model.accepted(push)?;
            self.grown();
        }
        let deaf = self.clients[c].deaf;
        let lost = deaf
            || self.choices.chance(self.swarm.lose_reply)
            || (answer.is_ok() && std::mem::take(&mut self.clients[c].lose_next_reply));
        if lost && answer.is_ok() {
            self.clients[c].lost_reply = Some((push.parent, push.events.len()));
        }
        let gateway = self.swarm.gateway > 0 && self.choices.chance(self.swarm.gateway);
        let answer = if gateway {
            self.reach.mark(if answer.is_ok() { "server error after the push was taken" } else { "server error on a push" });
            Err(BackendFailure::Unknown { message: "502 bad gateway".into() })
        } else {
            answer
        };
        if !lost {
            let after = self.latency();
            self.schedule(after, Event::PushReply(c, life, id, answer.err().map(Box::new)));
        }
        Ok(())
    }

    pub(crate) fn push_reply(&mut self, c: usize, id: EffectId, failure: Option<Box<BackendFailure>>) -> Result<(), Violation> {
        if self.clients[c].deaf && !matches!(failure.as_deref(), Some(BackendFailure::Unreachable { .. })) {
            // It was under way, and does not arrive: the driver gives up in its time.
            return Ok(());
        }
        let expected = self.clients[c].push.as_ref().is_some_and(|(effect, _)| *effect == id);
        if !expected && !self.choices.chance(self.swarm.noise) {
            return Ok(());
        }
        if expected && let Some((_, push)) = self.clients[c].push.take() {
            self.clients[c].heard.push_answered(self.now, &push, failure.as_deref());
        }
        let answer = match failure {
            None => Input::PushOk { id },
            Some(failure) => Input::PushFailed { id, failure: *failure },
        };
        self.remember(c, &answer);
        self.input(c, answer)
    }

    pub(crate) fn send_pull(&mut self, c: usize, id: EffectId) -> Result<(), Violation> {
        self.count_request(c)?;
        let after = self.latency();
        let life = self.clients[c].life;
        let fresh = self.clients[c].pull.as_ref().is_some_and(|lane| lane.pull.fresh);
        if fresh {
            self.clients[c].stream = None;
        }
        self.schedule(after, Event::PullServed(c, life, id));
        Ok(())
    }

    pub(crate) fn abandon(&mut self, c: usize, id: EffectId) {
        if self.clients[c].pull.as_ref().is_some_and(|lane| lane.effect == id) {
            self.clients[c].pull = None;
            if self.choices.chance(self.swarm.noise) {
                // Its answer comes all the same.
                let max = self.swarm.page;
                let page = self.backend.page(0, max);
                let (after, life) = (self.latency(), self.clients[c].life);
                self.schedule(after, Event::PageArrives(c, life, id, page));
            }
        }
    }

    /// The backend looks whether it has something for a pull.
    pub(crate) fn serve_pull(&mut self, c: usize, id: EffectId) -> Result<(), Violation> {
        let Some(lane) = self.clients[c].pull.clone().filter(|lane| lane.effect == id) else { return Ok(()) };
        let link = self.clients[c].link && !self.choices.chance(self.swarm.refuse_connection);
        if !link || self.choices.chance(self.swarm.cut_stream) {
            return self.pull_fails(c, id, unreachable("connection lost", false));
        }
        if self.clients[c].deaf {
            self.reach.mark("deaf: a page does not arrive");
            self.park(c, id);
            let life = self.clients[c].life;
            self.schedule(KEEP_ALIVE, Event::PullCut(c, life, id));
            return Ok(());
        }
        if self.swarm.gateway > 0 && self.choices.chance(self.swarm.gateway) {
            let failure = match self.choices.below(4) {
                0 => BackendFailure::ServerAhead { head: self.backend.head() },
                _ => BackendFailure::Unknown { message: "429 too many requests".into() },
            };
            return self.pull_fails(c, id, failure);
        }
        if !self.clients[c].authorised {
            return self.pull_fails(c, id, BackendFailure::NeedsAuth { message: "token expired".into() });
        }
        let incarnation = self.backend.incarnations.len() - 1;
        let stream = match self.clients[c].stream {
            None if lane.pull.fresh => Stream { cursor: lane.pull.after, incarnation, first: true },
            Some(stream) if stream.incarnation == incarnation => stream,
            _ => return self.pull_fails(c, id, unreachable("the stream has ended", false)),
        };
        if let Some(known) = &lane.pull.backend
            && *known != self.backend.live().id
            && self.choices.chance(500)
        {
            let theirs = self.backend.live().id.clone();
            return self.pull_fails(c, id, BackendFailure::Identity { theirs });
        }
        if stream.first && stream.cursor > self.backend.head() && self.choices.chance(500) {
            let message = format!("the log ends at e{}", self.backend.head());
            return self.pull_fails(c, id, BackendFailure::Truncated { message: message.into() });
        }
        self.clients[c].stream = Some(stream);
        if !stream.first && stream.cursor >= self.backend.shown && !self.choices.chance(self.swarm.empty_page) {
            self.park(c, id);
            return Ok(());
        }
        if self.choices.chance(self.swarm.stall) {
            // Something is there, and does not come: the keep-alive notices.
            self.park(c, id);
            let life = self.clients[c].life;
            self.schedule(KEEP_ALIVE, Event::PullCut(c, life, id));
            return Ok(());
        }
        let page = self.page(c, stream);
        self.answer_pull(c, id, page)
    }

    fn park(&mut self, c: usize, id: EffectId) {
        if let Some(lane) = self.clients[c].pull.as_mut().filter(|lane| lane.effect == id) {
            lane.parked = true;
        }
    }

    fn page(&mut self, c: usize, stream: Stream) -> Page {
        let max = self.choices.between(self.swarm.page_min, self.swarm.page);
        let back = if !stream.first && self.choices.chance(self.swarm.overlap) { self.choices.between(1, 3) } else { 0 };
        let from = stream.cursor.saturating_sub(back);
        let mut page = self.backend.page(from, max + back);
        // The first event of a stream shows which history it is, and no network loses the first part of a message.
        let keep = usize::from(stream.first);
        if page.events.len() > keep && self.choices.chance(self.swarm.gap) {
            let index = keep + self.choices.index(page.events.len() - keep);
            page.events.remove(index);
            // What did not come is still to come: no backend says that it has nothing more before it has sent everything.
            page.more |= index == page.events.len();
        }
        if !stream.first && self.choices.chance(self.swarm.empty_page) {
            let more = self.choices.chance(500) || stream.cursor < self.backend.shown;
            return Page { events: Vec::new(), more, ..page };
        }
        let cursor = page.events.last().map_or(stream.cursor, |last| last.seq).max(stream.cursor);
        self.clients[c].stream = Some(Stream { cursor, first: false, ..stream });
        page
    }

    pub(crate) fn page_arrives(&mut self, c: usize, id: EffectId, page: Page) -> Result<(), Violation> {
        self.input(c, Input::Pulled { id, page })
    }

    fn answer_pull(&mut self, c: usize, id: EffectId, page: Page) -> Result<(), Violation> {
        self.clients[c].pull = None;
        if !page.events.is_empty() {
            let new = page.events.last().map_or(0, |last| last.seq);
            // What the machine has, and not what the file has: a history that is given up may be pulled anew before that is stored.
            let has = self.clients[c].node().map_or(0, |node| node.status().upstream_head.global);
            if new > has {
                self.news(c);
            }
            self.note_echo(c, &page);
        }
        let known = self.clients[c].node().and_then(|node| node.backend()).is_none_or(|known| *known == page.backend);
        self.clients[c].heard.pulled(self.now, &page, known, &self.backend);
        let answer = Input::Pulled { id, page };
        self.remember(c, &answer);
        self.input(c, answer)
    }

    fn note_echo(&mut self, c: usize, page: &Page) {
        let has = |seq: u64| page.events.iter().any(|event| event.seq == seq);
        if self.clients[c].push.is_none()
            && let Some((parent, len)) = self.clients[c].lost_reply
            && has(parent + len as u64)
        {
            self.reach.mark("reply lost, then confirmed by a pull");
            self.clients[c].lost_reply = None;
        }
        let foreign = page.events.iter().any(|event| event.client != self.clients[c].name);
        if self.clients[c].push.is_some() && foreign {
            self.reach.mark("rebase during an in-flight push");
        }
    }

    pub(crate) fn cut_pull(&mut self, c: usize, id: EffectId) -> Result<(), Violation> {
        if self.clients[c].pull.as_ref().is_none_or(|lane| lane.effect != id) {
            return Ok(());
        }
        self.pull_fails(c, id, unreachable("nothing was heard for too long", false))
    }

    fn pull_fails(&mut self, c: usize, id: EffectId, failure: BackendFailure) -> Result<(), Violation> {
        self.clients[c].pull = None;
        self.clients[c].stream = None;
        self.clients[c].heard.pull_failed(self.now, &failure);
        let answer = Input::PullFailed { id, failure };
        self.remember(c, &answer);
        self.input(c, answer)
    }

    /// The backend's log has grown: this is news to everybody, once it is shown.
    pub(crate) fn grown(&mut self) {
        (0..self.clients.len()).for_each(|c| self.news(c));
        let (history, head) = (self.backend.incarnations.len(), self.backend.head());
        if self.swarm.lag == 0 {
            self.show(history, head);
            return;
        }
        self.reach.mark("what is taken is shown later");
        let after = self.choices.below(self.swarm.lag);
        self.schedule(after, Event::Shows(history, head));
    }

    /// The backend shows what it had taken by then.
    pub(crate) fn show(&mut self, history: usize, head: u64) {
        if history == self.backend.incarnations.len() && head > self.backend.shown {
            self.backend.shown = head;
            (0..self.clients.len()).for_each(|c| self.news(c));
            self.wake_pulls();
        }
    }

    /// The backend starts anew, and keeps its log: what is under way is lost.
    pub(crate) fn restart_backend(&mut self) {
        self.transcript.line(self.now, "BE", || "starts anew".into());
        self.queue.retain(|_, event| !matches!(event, Event::PushArrives(..)));
        for c in 0..self.clients.len() {
            self.clients[c].stream = None;
            let life = self.clients[c].life;
            if let Some(id) = self.clients[c].pull.as_ref().filter(|lane| lane.parked).map(|lane| lane.effect) {
                let after = self.latency();
                self.schedule(after, Event::PullCut(c, life, id));
            }
        }
        self.reach.mark("the backend starts anew");
    }

    /// Whoever waits for the backend's log to grow, or to end, hears of it.
    pub(crate) fn wake_pulls(&mut self) {
        for c in 0..self.clients.len() {
            let life = self.clients[c].life;
            if let Some(lane) = self.clients[c].pull.as_mut().filter(|lane| lane.parked) {
                lane.parked = false;
                let id = lane.effect;
                let after = self.latency();
                self.schedule(after, Event::PullServed(c, life, id));
            }
        }
    }

    pub(crate) fn link_up(&mut self, c: usize) -> Result<(), Violation> {
        if self.clients[c].link {
            return Ok(());
        }
        self.clients[c].link = true;
        self.news(c);
        self.input(c, Input::Online)
    }

    pub(crate) fn credentials(&mut self, c: usize) -> Result<(), Violation> {
        self.clients[c].authorised = true;
        self.news(c);
        self.input(c, Input::Authenticated)
    }

    pub(crate) fn barren_since(&self, c: usize) -> Time {
        self.clients[c].barren.1
    }
}
