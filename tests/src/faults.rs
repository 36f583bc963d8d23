//! The fault atlas, `faults.txt` beside this package's manifest: what is made to go wrong, where, and what that may suspend. Whatever it
//! names has to be there, and every option of simulated worlds that makes something go wrong has to be named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::world::MARKS;

const ATLAS: &str = include_str!("../faults.txt");
const SWARM: &str = include_str!("world/swarm.rs");
const PROXY: &str = include_str!("proxy/mod.rs");
const VFS: &str = include_str!("vfs/fault.rs");

/// Options of a world that say how large it is and how it is set up: nothing goes wrong by them.
const SIZES: [&str; 11] =
    ["clients", "sessions", "actions", "pace", "keys", "commit_events", "big_commit", "values", "guarded", "lasting", "config"];

/// The faults: what, where, and what they suspend.
fn faults() -> impl Iterator<Item = [&'static str; 3]> {
    let lines = ATLAS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let parts: Vec<&str> = line.split(" | ").collect();
        parts.try_into().unwrap_or_else(|_| panic!("not what, where and what it suspends: {line}"))
    })
}

fn places(of: &'static str) -> impl Iterator<Item = (String, String)> {
    let places = of.replace("\\,", "\0");
    let places: Vec<String> = places.split(", ").map(|place| place.replace('\0', ",")).collect();
    places.into_iter().map(move |place| match place.split_once(' ') {
        Some((kind, name)) => (kind.to_owned(), name.to_owned()),
        None => panic!("not a kind and a name: {place}"),
    })
}

/// The fields of the options of a world.
fn options() -> BTreeSet<&'static str> {
    let fields = SWARM.split("pub(crate) struct Swarm {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
    let names = fields.lines().filter_map(|line| line.trim().strip_prefix("pub(crate) ")?.split_once(':'));
    names.map(|(name, _)| name).collect()
}

fn tests_of(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            tests_of(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn what_the_atlas_names_is_there() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    for folder in ["core", "drivers", "tests/tests"] {
        tests_of(&workspace.join(folder), &mut sources);
    }
    let options = options();
    for [what, places_of, suspends] in faults() {
        for (kind, name) in places(places_of) {
            let is_there = match kind.as_str() {
                "swarm" => options.contains(name.as_str()),
                "mark" => MARKS.contains(&name.as_str()),
                "proxy" => PROXY.contains(&format!("    {name}")),
                "vfs" => VFS.contains(&format!("    {name}")),
                "test" => sources.contains(&format!("fn {name}(")),
                _ => false,
            };
            assert!(is_there, "{what}: there is no {kind} {name}");
        }
        let ids = suspends.split(", ").map(|part| part.split(' ').next().unwrap_or_default());
        let is_id =
            |id: &str| id.len() == 2 && id.starts_with(['R', 'L', 'S', 'V', 'D']) && id.ends_with(|c: char| c.is_ascii_digit());
        assert!(suspends == "-" || ids.clone().all(is_id), "{what} suspends {suspends}");
    }
}

#[test]
fn every_option_that_makes_something_go_wrong_is_in_the_atlas() {
    let named: BTreeSet<String> =
        faults().flat_map(|[_, at, _]| places(at)).filter(|(kind, _)| kind == "swarm").map(|(_, name)| name).collect();
    let missing: Vec<&str> = options().into_iter().filter(|option| !SIZES.contains(option) && !named.contains(*option)).collect();
    assert!(missing.is_empty(), "not in the atlas: {missing:?}");
}
