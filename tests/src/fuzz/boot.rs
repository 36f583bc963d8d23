//! A machine that starts from damaged data: it refuses with an error, or what it then does holds.

use std::sync::OnceLock;

use countersign_core::{Boot, Config, Event, Input, Node, Output, SessionId, Time};
use serde_json::Value;

use crate::world::{Choices, World};

/// What machines started from in simulated worlds: with pending events, client-only ones, split commits, quarantine.
fn good() -> &'static [Value] {
    static GOOD: OnceLock<Vec<Value>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let boots = (0..40).flat_map(|seed| {
            let mut world = World::new(seed);
            // What does not hold there is not what is looked for here.
            let _ = world.run_faults();
            world.boots()
        });
        let pending = boots.filter(|boot| boot.pending.len() > 1);
        pending.take(24).map(|boot| serde_json::to_value(boot).expect("a boot is JSON")).collect()
    })
}

pub(super) fn boot(bytes: &[u8]) {
    let boot = match serde_json::from_slice::<Boot>(bytes) {
        Ok(boot) => boot,
        Err(_) => {
            let mut choices = Choices::given(bytes.to_vec());
            let good = good();
            let mut value = good[choices.index(good.len())].clone();
            for _ in 0..=choices.below(4) {
                damage(&mut value, &mut choices);
            }
            // Not everything that was changed is still of that form.
            let Ok(boot) = serde_json::from_value(value) else { return };
            boot
        }
    };
    for backend in [true, false] {
        let config = Config { backend, ..Config::default() };
        if let Ok(node) = Node::new(config, boot.clone(), 1) {
            live(node);
        }
    }
}

/// Changes one thing, somewhere.
fn damage(value: &mut Value, choices: &mut Choices) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let at = choices.index(fields.len());
            if let Some(field) = fields.values_mut().nth(at) {
                damage(field, choices);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let (at, other) = (choices.index(items.len()), choices.index(items.len()));
            match choices.below(6) {
                0 => drop(items.remove(at)),
                1 => items.swap(at, other),
                2 => items.insert(other, items[at].clone()),
                _ => damage(&mut items[at], choices),
            }
        }
        Value::Number(number) => {
            let was = number.as_u64().unwrap_or(0);
            let now = [0, 1, was.wrapping_add(1), was.wrapping_sub(1), 1 << 53, u64::MAX, 1 << 31, was ^ 1];
            *value = Value::from(now[choices.index(now.len())]);
        }
        Value::Bool(yes) => *yes = !*yes,
        Value::Null => *value = Value::from("b9"),
        Value::String(text) => text.push('x'),
        Value::Object(_) | Value::Array(_) => {}
    }
}

/// A machine that has started does what is asked of it, whatever was wrong with what it started from.
fn live(mut node: Node) {
    assert_eq!(node.check(), Ok(()), "it started");
    let session = SessionId([9; 16]);
    let inputs = [Input::SessionOpened { session }, Input::Online, Input::Timer, Input::OfflineForGood, Input::Shutdown];
    for (now, input) in (1..).zip(inputs) {
        node.handle(Time(now * 1_000_000), input);
        let event = Event { name: "v1.Append".into(), args: "{}".into(), client_only: false };
        let _ = node.prepare(Time(now * 1_000_000), session, vec![event]);
        while !matches!(node.poll(), Output::Idle { .. }) {}
        assert_eq!(node.check(), Ok(()));
        let _ = node.status();
    }
}
