//! What the backend holds and answers to pulls, and what becomes of it.

use std::sync::Arc;

use countersign_core::{BackendFailure, EffectId, Input, Page, Pull, PulledEvent, Push};

use super::backend::{Backend, foreign};
use super::{Script, event, render};

impl Script {
    /// The backend hands out events without our identities from here on.
    pub fn strip_ids(&mut self) {
        self.backend.strips_ids = true;
        self.note("the backend strips identities");
    }

    /// Somebody else's events come to the end of the backend's log.
    pub fn others(&mut self, names: &str) {
        for name in names.split_whitespace() {
            self.backend.append_foreign(event(name));
        }
        self.note(&format!("another client pushes {names}; the backend's head is e{}", self.backend.head()));
    }

    /// Whether a pull is under way.
    #[must_use]
    pub fn pull_under_way(&self) -> Option<&Pull> {
        self.pulls.front().map(|(_, pull)| pull)
    }

    /// The backend answers the pull under way with everything that it has.
    pub fn page(&mut self) {
        self.page_up_to(usize::MAX);
    }

    /// The backend answers the pull under way with at most so many events, and says whether there are more.
    pub fn page_up_to(&mut self, limit: usize) {
        let (id, pull) = self.next_pull();
        let page = self.backend.page(&pull, limit);
        self.take_page(id, page);
    }

    /// The backend answers the pull under way with exactly these: `"A@e1 X@e3"`, own events by their names, `X@e5-e3` one that
    /// follows e3.
    pub fn page_of(&mut self, places: &str) {
        let (id, _) = self.next_pull();
        let events = places.split_whitespace().map(|place| self.place(place)).collect();
        let backend = self.backend.id.clone();
        self.take_page(id, Page { events, more: false, backend });
    }

    /// The pull under way fails.
    pub fn pull_fails(&mut self, failure: BackendFailure) {
        let (id, _) = self.next_pull();
        self.input(&format!("the pull fails: {}", render::failure(&failure)), Input::PullFailed { id, failure });
    }

    /// The pull under way fails for want of a connection.
    pub fn pull_unreachable(&mut self) {
        self.pull_fails(BackendFailure::Unreachable { message: "no route".into(), maybe_applied: false });
    }

    /// Another backend takes the place of the known one, with nothing in its log.
    pub fn exchange_backend(&mut self, id: &str) {
        self.backend = Backend { strips_ids: self.backend.strips_ids, ..Backend::new(id) };
        self.note(&format!("the backend is replaced by {id}, which is empty"));
    }

    /// The backend is restored from an older copy: its log ends at this place.
    pub fn truncate_backend(&mut self, head: u64) {
        self.backend.log.retain(|event| event.seq <= head);
        self.note(&format!("the backend is restored from a copy that ends at e{head}"));
    }

    /// The known backend is back: its log holds these events, own ones by their names.
    pub fn bring_back_backend(&mut self, id: &str, names: &str) {
        let strips_ids = self.backend.strips_ids;
        self.backend = Backend { strips_ids, ..Backend::new(id) };
        self.exchange_log(names);
    }

    /// The backend's log turns out to hold these events, own ones by their names.
    pub fn exchange_log(&mut self, names: &str) {
        self.backend.log.clear();
        for name in names.split_whitespace() {
            let parent = self.backend.head();
            let pushed = self.known.get(name).cloned();
            match pushed {
                Some(own) => assert_eq!(self.backend.take(&Push { parent, backend: None, events: vec![own] }), Ok(())),
                None => self.backend.append_foreign(event(name)),
            }
        }
        self.note(&format!("the log of {} holds {}", self.backend.id, render::page(&self.backend.log)));
    }

    /// Somebody else's events fill the log up to one before the last number, without being there one by one.
    pub fn others_at_the_end_of_numbers(&mut self) {
        let at = countersign_core::GLOBAL_MAX - 1;
        self.backend.log.push(foreign(at, 0, event("X")));
        self.note(&format!("somebody else's only event stands at e{at}"));
        self.page();
        self.store();
    }

    /// The backend holds other bytes for an event than were pushed.
    pub fn rewrite_in_backend(&mut self, name: &str, args: &str) {
        for event in self.backend.log.iter_mut().filter(|event| *event.event.name == *name) {
            let mut other = (*event.event).clone();
            other.args = args.into();
            event.event = Arc::new(other);
        }
        self.note(&format!("the backend holds {name} with the arguments {args}"));
    }

    fn place(&self, place: &str) -> PulledEvent {
        let (name, at) = place.split_once("@e").expect("a name and a place");
        let (at, parent) = match at.split_once("-e") {
            Some((at, parent)) => (at.parse().expect("a number"), parent.parse().expect("a number")),
            None => at.parse().map(|at: u64| (at, at - 1)).expect("a number"),
        };
        match self.backend.log.iter().find(|event| *event.event.name == *name) {
            Some(known) => PulledEvent { seq: at, parent, ..self.backend.as_sent(known) },
            None => foreign(at, parent, event(name)),
        }
    }

    fn take_page(&mut self, id: EffectId, page: Page) {
        let more = if page.more { ", and there is more" } else { "" };
        let what = format!("the pull brings {}{more}", render::page(&page.events));
        self.input(&what, Input::Pulled { id, page });
    }

    fn next_pull(&mut self) -> (EffectId, Pull) {
        self.pulls.pop_front().unwrap_or_else(|| panic!("{}\nno pull is under way", self.text))
    }
}
