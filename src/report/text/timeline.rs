//! A schedule as it ran, for people: time runs downward, with one column for each session.

use crate::history::{History, Move, MoveKind, Origin, StepResult, Turn};
use crate::report::text::layout::{
    TextOptions, Tone, joined, paint, share, shorten, table, table_overhead, visible, width, wrap,
};
use crate::report::text::reply::reply_lines;
use crate::report::text::shrunk::spans;
use crate::report::text::statement::{one_line, starts_clause};
use crate::schedule::named;

/// The longest statement that is shown, in columns.
const STATEMENT_WIDTH: usize = 300;
/// The longest statement that is shown when it is repeated, in columns.
const REPEATED_WIDTH: usize = 32;
/// With more sessions, or columns narrower than `NARROWEST_COLUMN`, the timeline is a list instead.
const MOST_COLUMNS: usize = 6;
const NARROWEST_COLUMN: usize = 16;
/// The widest column of session names in a list.
const NAME_WIDTH: usize = 24;

/// Draws a history as a table: one row for each turn, and one column for each session if that is legible, otherwise a
/// single column that names the session.
///
/// A step that blocked has another row, without a number, after the turn that released it. If other sessions race,
/// several that ran by themselves before or after them are only named in one line. No line is wider than
/// `options.width` if that is at least 60. The last line has no line break.
pub fn timeline(history: &History, options: &TextOptions) -> String {
    let number_width = history.turns.len().to_string().len();
    let alone = alone(history);
    let is_shown = |session: &usize| !alone.ahead.contains(session) && !alone.after.contains(session);
    let sessions: Vec<usize> = (0..history.sessions.len()).filter(is_shown).collect();
    let mut events = events(history, number_width);
    events.retain(|event| event.cells.iter().any(|(session, _)| is_shown(session)));
    let room = options
        .width
        .saturating_sub(number_width + table_overhead(sessions.len() + 1));
    let drawn = if sessions.len() <= MOST_COLUMNS && room >= sessions.len() * NARROWEST_COLUMN {
        columns(history, &sessions, &events, room, options.colour)
    } else {
        list(
            history,
            &events,
            options.width.saturating_sub(number_width + table_overhead(3)),
            options.colour,
        )
    };
    let ahead = by_themselves(history, &alone.ahead, options);
    let after = by_themselves(history, &alone.after, options);
    ahead
        .into_iter()
        .chain([drawn])
        .chain(after)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Sessions that ran without interacting with others, in the order in which they ran.
struct Alone {
    ahead: Vec<usize>,
    after: Vec<usize>,
}

/// Sessions that ran from beginning to end with no other in between, without an error, before or after all that race.
/// Empty if no session races, or if there is only one.
fn alone(history: &History) -> Alone {
    let turns = &history.turns;
    let mut blocks: Vec<(usize, std::ops::Range<usize>)> = Vec::new();
    for (index, turn) in turns.iter().enumerate() {
        match blocks.last_mut() {
            Some((session, block)) if *session == turn.session => block.end = index + 1,
            _ => blocks.push((turn.session, index..index + 1)),
        }
    }
    let is_alone = |(session, block): &&(usize, std::ops::Range<usize>)| {
        blocks.iter().filter(|(other, _)| other == session).count() == 1
            && block
                .clone()
                .all(|index| turns[index].finished_in == index && !matches!(turns[index].result, StepResult::Error(_)))
            && (0..block.start).all(|index| finish(history, index) < block.start)
    };
    let several = |sessions: Vec<usize>| if sessions.len() > 1 { sessions } else { Vec::new() };
    let ahead = blocks.iter().take_while(is_alone).count();
    if ahead == blocks.len() {
        return Alone {
            ahead: Vec::new(),
            after: Vec::new(),
        };
    }
    let mut after: Vec<usize> = blocks
        .iter()
        .rev()
        .take_while(is_alone)
        .map(|(session, _)| *session)
        .collect();
    after.reverse();
    Alone {
        ahead: several(blocks[..ahead].iter().map(|(session, _)| *session).collect()),
        after: several(after),
    }
}

fn by_themselves(history: &History, sessions: &[usize], options: &TextOptions) -> Option<String> {
    let (first, last) = (sessions.first()?, sessions.last()?);
    let from = history.turns.iter().position(|turn| turn.session == *first)? + 1;
    let to = history.turns.iter().rposition(|turn| turn.session == *last)? + 1;
    let names: Vec<String> = sessions.iter().map(|&session| name(history, session)).collect();
    let text = format!(
        "Turns {from} to {to}: {} run by themselves, one after another.",
        spans(&names)
    );
    Some(wrap(&text, options.width, |_| false).join("\n"))
}

/// What one row shows.
struct Row {
    /// The turn counted from 1; empty if steps only resume.
    number: String,
    /// Sessions, each with its lines, ascending.
    cells: Vec<(usize, Vec<Line>)>,
    /// Sessions that are blocked meanwhile.
    blocked: Vec<usize>,
}

struct Line {
    text: String,
    tone: Tone,
    is_sql: bool,
}

impl Line {
    fn new(tone: Tone, text: impl Into<String>) -> Self {
        Line {
            tone,
            text: text.into(),
            is_sql: false,
        }
    }

    fn sql(text: impl Into<String>) -> Self {
        Line {
            tone: Tone::Plain,
            text: text.into(),
            is_sql: true,
        }
    }
}

fn events(history: &History, number_width: usize) -> Vec<Row> {
    let mut events = Vec::new();
    for (index, turn) in history.turns.iter().enumerate() {
        let number = format!("{:>number_width$}", index + 1);
        events.push(Row {
            number,
            cells: vec![(turn.session, own_lines(history, index))],
            blocked: blocked(history, |i| i < index && finish(history, i) >= index),
        });
        let mut cells = later_cells(history, index);
        let mut rows = Vec::new();
        for session in resumed_by_name(history, index) {
            let own = cells.iter().position(|(other, _)| *other == session);
            rows.extend(own.map(|own| vec![cells.remove(own)]));
        }
        if !cells.is_empty() {
            rows.insert(0, cells);
        }
        events.extend(rows.into_iter().map(|cells| Row {
            number: String::new(),
            cells,
            blocked: blocked(history, |i| i <= index && finish(history, i) > index),
        }));
    }
    events
}

/// The sessions that resume or time out between a turn and the next, in their order, if that is not the default order.
fn resumed_by_name(history: &History, index: usize) -> Vec<usize> {
    let moves = history.moves.iter().zip(named(history));
    let moves = moves
        .skip_while(|(one, _)| one.kind != MoveKind::Step || one.turn != index)
        .skip(1);
    let resumptions: Vec<_> = moves.take_while(|(one, _)| one.kind != MoveKind::Step).collect();
    if !resumptions.iter().any(|(_, named)| *named) {
        return Vec::new();
    }
    resumptions.iter().map(|(one, _)| one.session).collect()
}

/// Sessions of the turns whose index is chosen.
fn blocked(history: &History, chosen: impl Fn(usize) -> bool) -> Vec<usize> {
    history
        .turns
        .iter()
        .enumerate()
        .filter(|(i, _)| chosen(*i))
        .map(|(_, turn)| turn.session)
        .collect()
}

/// What a turn shows in its own row.
fn own_lines(history: &History, index: usize) -> Vec<Line> {
    let turn = &history.turns[index];
    let mut lines = Vec::new();
    if starts_retry(history, index) {
        lines.push(Line::new(Tone::Head, format!("↻ retry {}", turn.attempt)));
    }
    if let Some(begin) = &turn.begin {
        let mark = if is_autocommitted(history, index) {
            " (autocommit)"
        } else {
            ""
        };
        lines.push(Line::sql(format!(
            "{}{mark}",
            shorten(&one_line(begin), STATEMENT_WIDTH)
        )));
    }
    let finished = finish(history, index) == index;
    match &turn.result {
        StepResult::Done { tag } if finished && turn.waits.is_empty() && ends_transaction(tag) => {
            lines.push(Line::sql(format!(
                "{} → {}",
                statement(turn),
                reply_lines(&turn.result).join(" ")
            )));
            return lines;
        }
        _ => lines.push(Line::sql(statement(turn))),
    }
    for wait in turn.waits.iter().filter(|wait| wait.from <= index) {
        lines.push(Line::new(
            Tone::Blocked,
            format!("⏳ waits for {}", names(history, &wait.blocked_by)),
        ));
    }
    if finished {
        if !turn.waits.is_empty() && !matches!(turn.result, StepResult::Error(_)) {
            lines.push(Line::new(Tone::Plain, "▶ resumed"));
        }
        lines.extend(timeout_line(history, index));
        lines.extend(result_lines(&turn.result));
    }
    lines
}

fn ends_transaction(tag: &str) -> bool {
    matches!(tag, "COMMIT" | "ROLLBACK")
}

/// What the turn with this index brought about for blocked steps: they wait for another session, or resume.
fn later_cells(history: &History, index: usize) -> Vec<(usize, Vec<Line>)> {
    let earlier = || history.turns.iter().enumerate().take(index);
    let released: Vec<usize> = earlier()
        .filter(|(i, _)| finish(history, *i) == index)
        .map(|(_, turn)| turn.session)
        .collect();
    let mut cells = Vec::new();
    for (i, turn) in earlier() {
        let mut lines = Vec::new();
        for wait in turn.waits.iter().filter(|wait| wait.from > i && wait.from == index) {
            lines.push(Line::new(
                Tone::Blocked,
                format!("⏳ now waits for {}", names(history, &wait.blocked_by)),
            ));
        }
        if finish(history, i) == index {
            let others: Vec<usize> = released
                .iter()
                .copied()
                .filter(|&session| session != turn.session)
                .collect();
            let together = match others.as_slice() {
                [] => String::new(),
                [other] => format!(" with {}", name(history, *other)),
                others => format!(" with {} others", others.len()),
            };
            let repeated = shorten(&statement(turn), REPEATED_WIDTH);
            lines.push(match timeout_line(history, i) {
                Some(line) => line,
                None => Line::new(Tone::Plain, format!("▶ resumed{together}: {repeated}")),
            });
            lines.extend(result_lines(&turn.result));
        }
        if !lines.is_empty() {
            cells.push((turn.session, lines));
        }
    }
    cells.sort_by_key(|(session, _)| *session);
    cells
}

fn statement(turn: &Turn) -> String {
    let mark = match turn.origin {
        Origin::Step(_) | Origin::Disconnect(_) => "",
        Origin::Autocommit(_) => " (autocommit)",
        Origin::Rollback(_) => " (after the error)",
    };
    format!("{}{mark}", shorten(&one_line(&turn.filled), STATEMENT_WIDTH))
}

/// The timeout that ended a step's wait, if one did.
fn timeout_line(history: &History, index: usize) -> Option<Line> {
    let ends = |one: &&Move| one.kind == MoveKind::Timeout && one.turn == index;
    history.moves.iter().find(ends)?;
    let name = match &history.turns[index].result {
        StepResult::Error(error) if error.sqlstate == "55P03" => "lock_timeout",
        _ => "statement_timeout",
    };
    Some(Line::new(Tone::Blocked, format!("⏰ {name} expires")))
}

fn result_lines(result: &StepResult) -> Vec<Line> {
    let (sign, tone) = match result {
        StepResult::Error(_) => ("✗", Tone::Bad),
        StepResult::Rows { .. } | StepResult::Done { .. } => ("→", Tone::Plain),
    };
    let line = |(i, text): (usize, String)| {
        let sign = if i == 0 { sign } else { " " };
        Line::new(tone, format!("{sign} {text}"))
    };
    reply_lines(result).into_iter().enumerate().map(line).collect()
}

/// The turn in which the step with this index finished, which is never before it and never after the last.
fn finish(history: &History, index: usize) -> usize {
    history.turns[index].finished_in.min(history.turns.len() - 1).max(index)
}

fn starts_retry(history: &History, index: usize) -> bool {
    let turn = &history.turns[index];
    let previous = history.turns[..index]
        .iter()
        .rev()
        .find(|other| other.session == turn.session);
    turn.attempt > 0 && (turn.begin.is_some() || previous.is_none_or(|previous| previous.attempt != turn.attempt))
}

/// Whether pgbraid committed the statement by itself right after it.
fn is_autocommitted(history: &History, index: usize) -> bool {
    let turn = &history.turns[index];
    let next = history.turns[index + 1..]
        .iter()
        .find(|other| other.session == turn.session);
    next.is_some_and(|next| next.origin == Origin::Autocommit(turn.origin.step()))
}

fn names(history: &History, sessions: &[usize]) -> String {
    joined(
        &sessions
            .iter()
            .map(|&session| name(history, session))
            .collect::<Vec<_>>(),
    )
}

fn name(history: &History, session: usize) -> String {
    history
        .sessions
        .get(session)
        .map_or_else(|| format!("session {session}"), |name| visible(name))
}

/// A column for each of `sessions`.
fn columns(history: &History, sessions: &[usize], events: &[Row], room: usize, colour: bool) -> String {
    let column = |session: &usize| sessions.iter().position(|shown| shown == session);
    let heads: Vec<String> = sessions.iter().map(|&session| name(history, session)).collect();
    let mut natural: Vec<usize> = heads.iter().map(|head| width(head)).collect();
    for (session, lines) in events.iter().flat_map(|event| &event.cells) {
        if let Some(natural) = column(session).and_then(|column| natural.get_mut(column)) {
            *natural = lines.iter().map(|line| width(&line.text)).fold(*natural, usize::max);
        }
    }
    let widths = share(&natural, room);
    let head = std::iter::once("#".to_owned()).chain(heads.iter().zip(&widths).map(|(head, &max)| {
        let line = Line::new(Tone::Head, head.as_str());
        cell(&[line], max, colour)
    }));
    let rows = events.iter().map(|event| {
        let mut row = vec![String::new(); sessions.len()];
        for (session, lines) in &event.cells {
            if let Some(column) = column(session) {
                row[column] = cell(lines, widths[column], colour);
            }
        }
        let height = row.iter().map(|text| text.lines().count()).max().unwrap_or(0);
        for session in &event.blocked {
            if let Some(text) = column(session)
                .and_then(|column| row.get_mut(column))
                .filter(|text| text.is_empty())
            {
                *text = vec![paint("┊", Tone::Blocked, colour); height].join("\n");
            }
        }
        std::iter::once(event.number.clone()).chain(row).collect()
    });
    table(std::iter::once(head.collect()).chain(rows))
}

fn list(history: &History, events: &[Row], room: usize, colour: bool) -> String {
    let longest = (0..history.sessions.len())
        .map(|session| width(&name(history, session)))
        .max()
        .unwrap_or(0);
    let name_width = longest.clamp("session".len(), NAME_WIDTH);
    let text_width = room.saturating_sub(name_width).max(NARROWEST_COLUMN);
    let head = vec!["#".to_owned(), "session".to_owned(), "statement".to_owned()];
    let rows = events.iter().flat_map(|event| {
        event.cells.iter().enumerate().map(move |(i, (session, lines))| {
            let number = if i == 0 { event.number.clone() } else { String::new() };
            let name = cell(&[Line::new(Tone::Head, name(history, *session))], name_width, colour);
            vec![number, name, cell(lines, text_width, colour)]
        })
    });
    table(std::iter::once(head).chain(rows))
}

fn cell(lines: &[Line], max: usize, colour: bool) -> String {
    let painted = |line: &Line| {
        let tone = line.tone;
        let starts_part = |word: &str| line.is_sql && (starts_clause(word) || word == "→");
        wrap(&line.text, max, starts_part)
            .into_iter()
            .map(move |part| paint(&part, tone, colour))
            .collect::<Vec<_>>()
    };
    lines.iter().flat_map(painted).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
