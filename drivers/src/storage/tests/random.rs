//! Random orders on a real file: whatever the machine may ask for, the file stays what the log says.

use countersign_core::{CommitId, Entry, Standing};

use super::*;

/// Small, seeded, and the same everywhere (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn event(&mut self) -> Event {
        let id = self.roll(12);
        match self.roll(8) {
            0..=2 => added(id),
            3 => event("v1.Changed", id, "+"),
            4 => event("v1.Removed", id, ""),
            5 => event("v1.Noted", id, "n"),
            6 => event("v1.Seen", id, ""),
            _ => event("v9.Unheard", id, ""),
        }
    }

    fn synced(&mut self) -> Event {
        loop {
            let event = self.event();
            if !event.client_only {
                return event;
            }
        }
    }

    fn certainty(&mut self) -> countersign_core::Certainty {
        if self.roll(2) == 0 { countersign_core::Certainty::Unknown } else { countersign_core::Certainty::NotApplied }
    }
}

// Verifies: S1, S2, S3, L1, L3, L4
#[test]
fn any_sequence_of_orders_keeps_the_file_whole() {
    let (mut refusals, mut rebases, mut held) = (0, 0, 0);
    let is_held = |entry: &Entry, skipped: &[Skip]| {
        let unknown = &*entry.event.name == "v9.Unheard";
        entry.standing == Standing::Pending && !unknown && skipped.iter().any(|skip| skip.at == entry.seq.pos)
    };
    for seed in 1..=12_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut bench = Bench::new(seed % 4 != 0);
        for _ in 0..60 {
            let mut txn = order(&mut dice, &mut bench, &mut rebases);
            loop {
                match bench.storage.materialise(&txn) {
                    Materialised::Committed { skipped } => {
                        held += txn.append.iter().filter(|entry| is_held(entry, &skipped)).count();
                        break;
                    }
                    Materialised::RolledBack { refused } => {
                        refusals += 1;
                        assert_eq!(bench.storage.check().unwrap(), Vec::<String>::new());
                        let commits: Vec<CommitId> = refused.into_iter().map(|(commit, _)| commit).collect();
                        txn = bench.model.withdraw(&txn, &commits, dice.certainty());
                    }
                    other => panic!("seed {seed}: {other:?} for {txn:?}"),
                }
            }
            bench.model.committed(&txn);
            bench.check();
            account_for_everything(&mut bench);
            if dice.roll(12) == 0 {
                let attach = !bench.model.backend && dice.roll(3) == 0;
                bench.model.backend |= attach;
                let backend = bench.model.backend;
                let (reopened, boot, _) = bench.reopen(options(backend));
                bench = reopened;
                bench.model.set_heads(boot.heads.clone());
                assert_eq!(boot.pending, bench.model.pending(), "seed {seed}");
            }
        }
    }
    let enough = refusals > 50 && rebases > 50 && held > 10;
    assert!(enough, "too little happened: {refusals} refusals, {rebases} rebases, {held} held");
}

fn order(dice: &mut Dice, bench: &mut Bench, rebases: &mut u32) -> Txn {
    let backend = bench.model.backend;
    match dice.roll(10) {
        6 | 7 if backend => {
            let synced = bench.model.pending().iter().filter(|entry| !entry.event.client_only).count();
            bench.model.confirm(usize::try_from(dice.roll(4)).unwrap().min(synced))
        }
        8 if backend => {
            *rebases += 1;
            let foreign: Vec<Event> = (0..=dice.roll(3)).map(|_| dice.synced()).collect();
            let mut txn = bench.model.rebase(&foreign);
            // The backend may have what was pending.
            txn.hold_to = txn.append.last().map(|last| last.seq.pos).filter(|_| dice.roll(2) == 0);
            txn
        }
        9 if backend => {
            let pending = bench.model.pending();
            let txn = bench.model.txn();
            if pending.is_empty() {
                return txn;
            }
            let at = usize::try_from(dice.roll(pending.len() as u64)).unwrap();
            let commit = pending[at].commit_id().unwrap();
            bench.model.withdraw(&txn, &[commit], dice.certainty())
        }
        _ => {
            let (mut entries, mut head) = (Vec::new(), bench.model.head());
            let mut behind = head > bench.model.heads.settled;
            for _ in 0..=dice.roll(3) {
                let events: Vec<Event> = (0..=dice.roll(3)).map(|_| dice.event()).collect();
                let commit = bench.model.own_after(head, behind, &events);
                head = commit.last().unwrap().seq.pos;
                behind |= commit.iter().any(|entry| entry.standing == Standing::Pending);
                entries.extend(commit);
            }
            bench.model.append(entries)
        }
    }
}

/// Every event of every commit is in the log, or in quarantine.
fn account_for_everything(bench: &mut Bench) {
    let mut ordinals: Vec<u64> = bench.model.log.iter().filter_map(|entry| entry.own_id()).map(|id| id.ordinal).collect();
    for row in bench.storage.quarantine().unwrap() {
        ordinals.extend(row.quarantined.events.iter().map(|own| own.id.ordinal));
    }
    ordinals.sort_unstable();
    assert_eq!(ordinals, (1..=bench.model.ordinal).collect::<Vec<_>>());
}
