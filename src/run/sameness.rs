//! Whether two runs of one schedule did the same.

use super::Run;

/// Where two runs of the same schedule did not do the same, in words.
pub fn differs(one: &Run, other: &Run) -> Option<String> {
    let turns = one.history.turns.iter().zip(&other.history.turns);
    if let Some((turn, _)) = turns.into_iter().find(|(one, other)| one != other) {
        let session = &one.history.sessions[turn.session];
        return Some(format!("step {} of {session} did not do the same", turn.step));
    }
    if one.history != other.history {
        return Some("the sessions did not end alike".to_owned());
    }
    (one.violations != other.violations).then(|| "they broke different invariants".to_owned())
}

/// The first table in which two runs left different rows.
pub fn leaves_otherwise(one: &Run, other: &Run) -> Option<String> {
    let (before, now) = (&one.outcome.tables, &other.outcome.tables);
    let same = before.iter().zip(now).take_while(|(before, now)| before == now).count();
    before.get(same).or(now.get(same)).map(|table| table.name.clone())
}
