//! A client that sends what a fuzz target, or a property, makes it send.

use bytes::BytesMut;

use super::client::take_message;
use super::{Collected, Collector, ProxyError, RequestEnd};

/// What has become of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A request, with the statements that it has the server run.
    Request {
        /// Its messages.
        bytes: Vec<u8>,
        /// What it ends with.
        end: RequestEnd,
        /// What is to be run.
        statements: Vec<String>,
    },
    /// Rows of a COPY.
    Copy(Vec<u8>),
    /// The client has said goodbye.
    Terminate,
    /// It has sent what no client may send; nothing more is read of it.
    Refused(String),
}

/// Reads what a client sends, in these pieces.
pub fn listen<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Heard> {
    let mut collector = Collector::default();
    let mut incoming = BytesMut::new();
    let mut heard = Vec::new();
    for piece in pieces {
        incoming.extend_from_slice(piece);
        if let Err(error) = take(&mut collector, &mut incoming, &mut heard) {
            heard.push(Heard::Refused(error.to_string()));
            break;
        }
    }
    heard
}

fn take(collector: &mut Collector, incoming: &mut BytesMut, heard: &mut Vec<Heard>) -> Result<(), ProxyError> {
    while let Some(message) = take_message(incoming)? {
        match collector.take(&message)? {
            Collected::Nothing => {}
            Collected::Request(request, end) => {
                let statements = request.statements.iter().map(|asked| asked.sql.to_string());
                heard.push(Heard::Request {
                    statements: statements.collect(),
                    bytes: request.bytes.to_vec(),
                    end,
                });
            }
            Collected::Copy(bytes) => heard.push(Heard::Copy(bytes.to_vec())),
            Collected::Terminate => heard.push(Heard::Terminate),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message of a kind that clients send, whose body may be anything.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        let kind = prop::sample::select(&b"QPBDECSHXFdcfpA"[..]);
        let text = "[a-z ]{0,8}".prop_map(|text| text.into_bytes().into_iter().chain([0]).collect::<Vec<u8>>());
        let number = any::<u8>().prop_map(|number| vec![0, number % 4]);
        let part = prop_oneof![3 => text, 2 => number, 1 => prop::collection::vec(any::<u8>(), 0..8)];
        (kind, prop::collection::vec(part, 0..6)).prop_map(|(kind, parts)| {
            let body = parts.concat();
            let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
            [&[kind][..], &length.to_be_bytes(), &body].concat()
        })
    }

    /// The pieces of a stream between these places.
    fn split(bytes: &[u8], places: Vec<prop::sample::Index>) -> Vec<&[u8]> {
        let mut cuts: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_makes_no_difference(
            messages in prop::collection::vec(message(), 0..12),
            places in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes = messages.concat();
            prop_assert_eq!(listen(split(&bytes, places)), listen([&bytes[..]]));
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            places in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let heard = listen(split(&bytes, places));
            let kept = |one: &Heard| match one {
                Heard::Request { bytes, .. } | Heard::Copy(bytes) => bytes.len(),
                Heard::Terminate | Heard::Refused(_) => 0,
            };
            prop_assert!(heard.iter().map(kept).sum::<usize>() <= bytes.len());
        }
    }

    #[test]
    fn a_message_that_says_that_it_is_long_is_refused_before_it_has_come() {
        let heard = listen([&b"Q\xff\xff\xff\xff"[..]]);
        assert!(matches!(heard.as_slice(), [Heard::Refused(_)]), "{heard:?}");
        let heard = listen([&b"Q\0\0\0\x03"[..]]);
        assert!(matches!(heard.as_slice(), [Heard::Refused(_)]), "{heard:?}");
    }
}
