//! One connection of a program's.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::io::poll_read_buf;

use super::{MOST_AT_LOGIN, MOST_IN_REQUEST, ProxyError};
use crate::postgres::wire::Stream;

/// Type and length.
const HEADER: usize = 5;

/// A message of the client's.
#[derive(Debug, Clone)]
pub struct ClientMessage {
    /// Type and length included.
    pub bytes: Bytes,
}

impl ClientMessage {
    /// The message's type.
    pub fn kind(&self) -> u8 {
        self.bytes[0]
    }

    /// What follows type and length.
    pub fn body(&self) -> Bytes {
        self.bytes.slice(HEADER..)
    }
}

/// Reads a program's messages, and writes to it what the server says.
#[derive(Debug)]
pub struct Client {
    /// `None` where nobody is there: it says nothing, and hears nothing.
    stream: Option<Stream>,
    incoming: BytesMut,
    outgoing: BytesMut,
    gone: bool,
}

impl Client {
    pub(super) fn new(stream: Stream) -> Client {
        Client {
            stream: Some(stream),
            ..Client::nobody()
        }
    }

    /// Stands for a program that does not run.
    pub fn nobody() -> Client {
        Client {
            stream: None,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            gone: false,
        }
    }

    /// The stream and what has been read of it, for a conversation that nobody listens to.
    pub(super) fn into_parts(self) -> (Option<Stream>, BytesMut, BytesMut) {
        (self.stream, self.incoming, self.outgoing)
    }

    /// The port of its end, where it came by TCP.
    pub fn port(&self) -> Option<u16> {
        match self.stream.as_ref()? {
            Stream::Tcp(stream) => Some(stream.peer_addr().ok()?.port()),
            Stream::Unix(_) => None,
        }
    }

    /// Whether it has hung up.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// The next message; `None` once the client has hung up.
    pub fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<ClientMessage>, ProxyError>> {
        loop {
            if let Some(message) = take_message(&mut self.incoming)? {
                return Poll::Ready(Ok(Some(message)));
            }
            if self.gone {
                return Poll::Ready(Ok(None));
            }
            let Some(stream) = &mut self.stream else {
                return Poll::Pending;
            };
            // a client that broke off has hung up, however it did
            if !matches!(ready!(poll_read_buf(Pin::new(stream), cx, &mut self.incoming)), Ok(1..)) {
                self.gone = true;
            }
        }
    }

    /// Queues messages of the server's.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.outgoing.put_slice(bytes);
    }

    /// Writes what is queued, as far as the client takes it. One that has hung up takes everything.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.outgoing.has_remaining() {
            let Some(stream) = self.stream.as_mut().filter(|_| !self.gone) else {
                self.outgoing.clear();
                break;
            };
            match ready!(Pin::new(stream).poll_write(cx, &self.outgoing)) {
                Ok(written @ 1..) => self.outgoing.advance(written),
                Ok(0) | Err(_) => self.gone = true,
            }
        }
        Poll::Ready(())
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads the packet that a conversation begins with, which has no type.
    pub(super) async fn read_startup(&mut self) -> io::Result<Bytes> {
        let length = self.stream()?.read_u32().await? as usize;
        if !(8..=MOST_AT_LOGIN).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.read_exactly(length - 4).await
    }

    /// Reads a message of the login: its type and what it holds.
    pub(super) async fn read_login(&mut self) -> io::Result<(u8, Bytes)> {
        let kind = self.stream()?.read_u8().await?;
        let length = self.stream()?.read_u32().await? as usize;
        if !(4..=MOST_AT_LOGIN).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((kind, self.read_exactly(length - 4).await?))
    }

    async fn read_exactly(&mut self, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.stream()?.read_exact(&mut bytes).await?;
        Ok(bytes.into())
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream()?.write_all(bytes).await
    }

    /// Closes the connection, as a server does with a client that has said goodbye. Drivers wait for that.
    pub async fn hang_up(&mut self) {
        self.gone = true;
        self.outgoing.clear();
        if let Some(stream) = &mut self.stream {
            // it may have closed its side before
            let _ = stream.shutdown().await;
        }
    }

    /// Turns the client away, as the server would. It may have gone by then.
    pub async fn refuse(mut self, sqlstate: &str, message: &str) {
        let fields = [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', sqlstate), (b'M', message)];
        queue_message(&mut self.outgoing, b'E', |body| {
            for (field, text) in fields {
                body.put_u8(field);
                put_text(body, text);
            }
            body.put_u8(0);
        });
        poll_fn(|cx| self.poll_flush(cx)).await;
    }

    /// Queues the end of the login: who the client speaks to, and the settings that the server reported.
    pub fn queue_welcome(&mut self, parameters: &[(String, String)], backend_pid: i32, secret_key: i32) {
        let buffer = &mut self.outgoing;
        queue_message(buffer, b'R', |body| body.put_i32(0));
        for (name, value) in parameters {
            queue_message(buffer, b'S', |body| {
                put_text(body, name);
                put_text(body, value);
            });
        }
        queue_message(buffer, b'K', |body| {
            body.put_i32(backend_pid);
            body.put_i32(secret_key);
        });
        self.queue_ready(b'I');
    }

    /// Queues that a command is complete.
    pub fn queue_complete(&mut self, tag: &str) {
        queue_message(&mut self.outgoing, b'C', |body| put_text(body, tag));
    }

    /// Queues ReadyForQuery.
    pub fn queue_ready(&mut self, status: u8) {
        queue_message(&mut self.outgoing, b'Z', |body| body.put_u8(status));
    }
}

/// Takes the first message, if it has come whole.
pub(super) fn take_message(incoming: &mut BytesMut) -> Result<Option<ClientMessage>, ProxyError> {
    let Some(&[_, a, b, c, d]) = incoming.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize + 1;
    if length < HEADER {
        return Err(ProxyError::Protocol("a message with an impossible length"));
    }
    if length > MOST_IN_REQUEST {
        return Err(ProxyError::TooLarge);
    }
    if incoming.len() < length {
        return Ok(None);
    }
    Ok(Some(ClientMessage {
        bytes: incoming.split_to(length).freeze(),
    }))
}

/// Writes a message: its type, its length, and what `write` puts into it.
pub(super) fn queue_message(buffer: &mut BytesMut, kind: u8, write: impl FnOnce(&mut BytesMut)) {
    buffer.put_u8(kind);
    let start = buffer.len();
    buffer.put_u32(0);
    write(buffer);
    let length = u32::try_from(buffer.len() - start).unwrap_or(u32::MAX);
    buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Writes a text with the NUL that ends it.
pub(super) fn put_text(buffer: &mut BytesMut, text: &str) {
    buffer.put_slice(text.as_bytes());
    buffer.put_u8(0);
}

/// Takes a text up to its NUL.
pub(super) fn take_text(bytes: &mut Bytes) -> Result<String, ProxyError> {
    let end = bytes.iter().position(|&byte| byte == 0);
    let end = end.ok_or(ProxyError::Protocol("a text without an end"))?;
    let text = bytes.split_to(end);
    bytes.advance(1);
    Ok(String::from_utf8_lossy(&text).into_owned())
}
