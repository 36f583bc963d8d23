//! The eventlog's rows: written and read in the log's order, and found again by commit.
//!
//! Names and authors are numbers in the rows; the texts are kept once, and cached here. The cache holds what this connection
//! has read or written, so a transaction that is rolled back has to [`Eventlog::forget`] it.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::{CommitId, Entry, Event, EventId, Heads, Origin, Pos, Seq, SessionId, Standing, WireIds};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Statement, params};

use super::error::{Result, Trouble};
use super::guards;

/// Names and authors remembered at most; a backend could send any number of different ones.
const CACHED: usize = 4_096;

const COLUMNS: &str = "e.global, e.client, generation, parent, author, ordinal, commit_ordinal, last, rebases, name, args, mark,
    (SELECT reason FROM countersign_skips AS s WHERE s.global = e.global AND s.client = e.client),
    (SELECT guard FROM countersign_guards AS g WHERE g.global = e.global AND g.client = e.client)";

/// Access to the eventlog of one connection.
#[derive(Debug)]
pub(super) struct Eventlog {
    client: Arc<str>,
    names: BTreeMap<Arc<str>, i64>,
    names_by_id: BTreeMap<i64, Arc<str>>,
    own: BTreeMap<SessionId, i64>,
    authors_by_id: BTreeMap<i64, Author>,
}

#[derive(Clone, Debug)]
struct Author {
    client: Arc<str>,
    session: Arc<str>,
}

/// A row as stored. What an [`Entry`] says beyond it depends on the heads.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) seq: Seq,
    pub(super) parent: Pos,
    pub(super) origin: Origin,
    pub(super) event: Arc<Event>,
    /// Why the entry has no effect on the state.
    pub(super) skip: Option<Arc<str>>,
    /// The unit of undo it was applied under.
    pub(super) mark: Option<i64>,
}

impl Row {
    /// How firmly the row stands, given the heads.
    pub(super) fn standing(&self, heads: &Heads) -> Standing {
        let pos = self.seq.pos;
        if pos > heads.settled {
            Standing::Pending
        } else if !pos.is_client_only() && pos.global <= heads.upstream {
            Standing::Confirmed
        } else {
            Standing::Local
        }
    }

    /// The row as the machine knows it.
    pub(super) fn into_entry(self, heads: &Heads) -> Entry {
        let standing = self.standing(heads);
        Entry { seq: self.seq, parent: self.parent, origin: self.origin, standing, event: self.event }
    }
}

impl Eventlog {
    pub(super) fn client(&self) -> &Arc<str> {
        &self.client
    }

    /// The eventlog of a file that belongs to `client`.
    pub(super) fn new(client: Arc<str>) -> Self {
        Self {
            client,
            names: BTreeMap::new(),
            names_by_id: BTreeMap::new(),
            own: BTreeMap::new(),
            authors_by_id: BTreeMap::new(),
        }
    }

    /// Forgets what is cached: after a rollback it may not be in the file.
    pub(super) fn forget(&mut self) {
        self.names.clear();
        self.names_by_id.clear();
        self.own.clear();
        self.authors_by_id.clear();
    }

    /// Appends an entry, by the statement of [`insertion`].
    pub(super) fn insert(
        &mut self,
        conn: &Connection,
        insert: &mut Statement<'_>,
        entry: &Entry,
        mark: Option<i64>,
    ) -> Result<()> {
        let pos = entry.seq.pos;
        let parent = stored_parent(entry)?;
        let name = self.name_id(conn, &entry.event.name)?;
        let (author, ids, rebases) = match &entry.origin {
            Origin::Own { id, commit, last, rebases, .. } => {
                let ids = WireIds { ordinal: id.ordinal, commit: *commit, last: *last };
                (self.own_author(conn, id.session)?, Some(ids), Some(*rebases))
            }
            Origin::Foreign { client, session, ids } => (author_id(conn, client, session)?, *ids, None),
        };
        insert.execute((
            int(pos.global)?,
            pos.client,
            entry.seq.generation,
            parent,
            author,
            ids.map(|ids| int(ids.ordinal)).transpose()?,
            ids.map(|ids| int(ids.commit)).transpose()?,
            ids.map(|ids| ids.last),
            rebases,
            name,
            &*entry.event.args,
            mark,
        ))?;
        if let Some(guard) = entry.own_guard().filter(|_| may_move(entry)) {
            guards::put(conn, pos, guard)?;
        }
        Ok(())
    }

    /// The rows after a place, in order, `limit` at most. `None` starts at the beginning.
    pub(super) fn page(&mut self, conn: &Connection, after: Option<Pos>, limit: usize) -> Result<Vec<Row>> {
        // Before the first row there is only the root, at which no entry stands.
        let after = after.unwrap_or(Pos::ROOT);
        self.select(
            conn,
            &format!(
                "SELECT {COLUMNS} FROM countersign_eventlog AS e WHERE (e.global, e.client) > (?1, ?2)
                 ORDER BY e.global, e.client LIMIT ?3"
            ),
            params![int(after.global)?, after.client, i64::try_from(limit).unwrap_or(i64::MAX)],
        )
    }

    /// The last row that stands at `pos` or before.
    pub(super) fn last_until(&mut self, conn: &Connection, pos: Pos) -> Result<Option<Row>> {
        let rows = self.select(
            conn,
            &format!(
                "SELECT {COLUMNS} FROM countersign_eventlog AS e WHERE (e.global, e.client) <= (?1, ?2)
                 ORDER BY e.global DESC, e.client DESC LIMIT 1"
            ),
            params![int(pos.global)?, pos.client],
        )?;
        Ok(rows.into_iter().next())
    }

    /// The last row.
    pub(super) fn last(&mut self, conn: &Connection) -> Result<Option<Row>> {
        let sql = format!("SELECT {COLUMNS} FROM countersign_eventlog AS e ORDER BY e.global DESC, e.client DESC LIMIT 1");
        Ok(self.select(conn, &sql, [])?.into_iter().next())
    }

    /// The entries of an own commit, in order.
    pub(super) fn of_commit(&mut self, conn: &Connection, commit: CommitId) -> Result<Vec<Row>> {
        let Some(author) = find_author(conn, &self.client, &commit.session.to_string())? else { return Ok(Vec::new()) };
        self.select(
            conn,
            &format!(
                "SELECT {COLUMNS} FROM countersign_eventlog AS e
                 WHERE author = ?1 AND commit_ordinal = ?2 AND rebases IS NOT NULL ORDER BY e.global, e.client"
            ),
            params![author, int(commit.ordinal)?],
        )
    }

    fn select(&mut self, conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Row>> {
        let mut select = conn.prepare_cached(sql)?;
        let mut rows = select.query(params)?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            read.push(self.read(conn, row)?);
        }
        Ok(read)
    }

    fn read(&mut self, conn: &Connection, row: &rusqlite::Row<'_>) -> Result<Row> {
        let pos = Pos { global: nat(row.get(0)?)?, client: row.get(1)? };
        let seq = Seq::new(pos, row.get(2)?);
        let parent = match row.get::<_, Option<i64>>(3)? {
            Some(global) => Pos::synced(nat(global)?),
            None => pos.parent(),
        };
        let author = self.author(conn, row.get(4)?)?;
        let ids = match (row.get::<_, Option<i64>>(5)?, row.get::<_, Option<i64>>(6)?, row.get::<_, Option<bool>>(7)?) {
            (Some(ordinal), Some(commit), Some(last)) => Some(WireIds { ordinal: nat(ordinal)?, commit: nat(commit)?, last }),
            _ => None,
        };
        let origin = match row.get::<_, Option<u32>>(8)? {
            Some(rebases) => {
                let WireIds { ordinal, commit, last } =
                    ids.ok_or_else(|| Trouble::damaged(format!("the entry at {pos} is an own one without an identity")))?;
                let session = author
                    .session
                    .parse()
                    .map_err(|_| Trouble::damaged(format!("the entry at {pos} names no session: {}", author.session)))?;
                let guard = guards::read(row, 13)?;
                Origin::Own { id: EventId { session, ordinal }, commit, last, rebases, guard }
            }
            None => Origin::Foreign { client: author.client, session: author.session, ids },
        };
        let name = self.name(conn, row.get(9)?)?;
        let args: Arc<str> = Arc::from(row.get_ref(10)?.as_str().map_err(rusqlite::Error::from)?);
        let skip = row.get::<_, Option<String>>(12)?.map(Arc::from);
        let event = Arc::new(Event { name, args, client_only: pos.is_client_only() });
        Ok(Row { seq, parent, origin, event, skip, mark: row.get(11)? })
    }

    fn name_id(&mut self, conn: &Connection, name: &Arc<str>) -> Result<i64> {
        if let Some(&id) = self.names.get(name) {
            return Ok(id);
        }
        let known = conn
            .prepare_cached("SELECT id FROM countersign_names WHERE name = ?1")?
            .query_row([&**name], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => conn
                .prepare_cached("INSERT INTO countersign_names (name) VALUES (?1) RETURNING id")?
                .query_row([&**name], |row| row.get(0))?,
        };
        if self.names.len() >= CACHED {
            self.names.clear();
        }
        self.names.insert(Arc::clone(name), id);
        Ok(id)
    }

    fn name(&mut self, conn: &Connection, id: i64) -> Result<Arc<str>> {
        if let Some(name) = self.names_by_id.get(&id) {
            return Ok(Arc::clone(name));
        }
        let name: String = conn
            .prepare_cached("SELECT name FROM countersign_names WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?
            .ok_or_else(|| Trouble::damaged(format!("an entry has a name that is not in the file: {id}")))?;
        let name: Arc<str> = Arc::from(name);
        if self.names_by_id.len() >= CACHED {
            self.names_by_id.clear();
        }
        self.names_by_id.insert(id, Arc::clone(&name));
        Ok(name)
    }

    fn own_author(&mut self, conn: &Connection, session: SessionId) -> Result<i64> {
        if let Some(&id) = self.own.get(&session) {
            return Ok(id);
        }
        let id = author_id(conn, &self.client, &session.to_string())?;
        if self.own.len() >= CACHED {
            self.own.clear();
        }
        self.own.insert(session, id);
        Ok(id)
    }

    fn author(&mut self, conn: &Connection, id: i64) -> Result<Author> {
        if let Some(author) = self.authors_by_id.get(&id) {
            return Ok(author.clone());
        }
        let author = conn
            .prepare_cached("SELECT client, session FROM countersign_authors WHERE id = ?1")?
            .query_row([id], |row| {
                Ok(Author { client: Arc::from(row.get::<_, String>(0)?), session: Arc::from(row.get::<_, String>(1)?) })
            })
            .optional()?
            .ok_or_else(|| Trouble::damaged(format!("an entry has an author that is not in the file: {id}")))?;
        if self.authors_by_id.len() >= CACHED {
            self.authors_by_id.clear();
        }
        self.authors_by_id.insert(id, author.clone());
        Ok(author)
    }
}

/// The statement that appends entries. Kept for all of a transaction: to look it up again would cost as much as to carry out a small one.
pub(super) fn insertion(conn: &Connection) -> Result<CachedStatement<'_>> {
    Ok(conn.prepare_cached(
        "INSERT INTO countersign_eventlog (global, client, generation, parent, author, ordinal, commit_ordinal, last,
         rebases, name, args, mark) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?)
}

/// Whether anything stands after a place, and the mark of the first entry that does.
pub(super) fn first_mark_after(conn: &Connection, pos: Pos) -> Result<Option<Option<i64>>> {
    let mut select = conn.prepare_cached(
        "SELECT mark FROM countersign_eventlog WHERE (global, client) > (?1, ?2) ORDER BY global, client LIMIT 1",
    )?;
    Ok(select.query_row(params![int(pos.global)?, pos.client], |row| row.get(0)).optional()?)
}

/// The newest mark of the entries after one place, up to another.
pub(super) fn newest_mark(conn: &Connection, after: Pos, through: Pos) -> Result<Option<i64>> {
    let mut select = conn.prepare_cached(
        "SELECT max(mark) FROM countersign_eventlog WHERE (global, client) > (?1, ?2) AND (global, client) <= (?3, ?4)",
    )?;
    let bounds = params![int(after.global)?, after.client, int(through.global)?, through.client];
    Ok(select.query_row(bounds, |row| row.get(0))?)
}

/// Removes every entry after a place.
pub(super) fn delete_after(conn: &Connection, pos: Pos) -> Result<()> {
    for table in ["countersign_eventlog", "countersign_skips", "countersign_guards"] {
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE (global, client) > (?1, ?2)"))?
            .execute(params![int(pos.global)?, pos.client])?;
    }
    Ok(())
}

/// Whether the entry may come to stand elsewhere. What is local may, if it is synced: when the store is given a backend.
fn may_move(entry: &Entry) -> bool {
    match entry.standing {
        Standing::Confirmed => false,
        Standing::Pending => true,
        Standing::Local => !entry.event.client_only,
    }
}

/// Stores under which mark an entry was applied again.
pub(super) fn reapplied(conn: &Connection, pos: Pos, mark: Option<i64>) -> Result<()> {
    conn.prepare_cached("UPDATE countersign_eventlog SET mark = ?3 WHERE global = ?1 AND client = ?2")?.execute(params![
        int(pos.global)?,
        pos.client,
        mark
    ])?;
    Ok(())
}

/// How many entries there are. Reads the whole log.
pub(super) fn count(conn: &Connection) -> Result<u64> {
    nat(conn.query_row("SELECT count(*) FROM countersign_eventlog", [], |row| row.get(0))?)
}

/// The parent of a synced entry where it isn't the one before it. That of a client-only entry always follows from its place.
fn stored_parent(entry: &Entry) -> Result<Option<i64>> {
    let pos = entry.seq.pos;
    if entry.event.client_only != pos.is_client_only() {
        return Err(Trouble::defect(format!("{pos} is not a place for an entry with client_only = {}", entry.event.client_only)));
    }
    if entry.parent == pos.parent() {
        Ok(None)
    } else if pos.is_client_only() || entry.parent.is_client_only() {
        Err(Trouble::defect(format!("the entry at {pos} can't have {} for its parent", entry.parent)))
    } else {
        Ok(Some(int(entry.parent.global)?))
    }
}

fn author_id(conn: &Connection, client: &str, session: &str) -> Result<i64> {
    if let Some(id) = find_author(conn, client, session)? {
        return Ok(id);
    }
    let mut insert = conn.prepare_cached("INSERT INTO countersign_authors (client, session) VALUES (?1, ?2) RETURNING id")?;
    Ok(insert.query_row([client, session], |row| row.get(0))?)
}

fn find_author(conn: &Connection, client: &str, session: &str) -> Result<Option<i64>> {
    let mut select = conn.prepare_cached("SELECT id FROM countersign_authors WHERE client = ?1 AND session = ?2")?;
    Ok(select.query_row([client, session], |row| row.get(0)).optional()?)
}

/// SQLite's integers are signed.
pub(super) fn int(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(|_| Trouble::defect(format!("{n} is too large for the file")))
}

/// What can't be negative, is not.
pub(super) fn nat(n: i64) -> Result<u64> {
    u64::try_from(n).map_err(|_| Trouble::damaged(format!("{n} where no negative number can be")))
}
