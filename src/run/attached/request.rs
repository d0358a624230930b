//! Sends a session's request to a service, and waits for the answer.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::history::Answer;
use crate::scenario::{RequestBody, ServiceRequest};

/// How much of a body is kept, from its beginning.
const MOST_KEPT: usize = 64 << 10;

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens, or the connection was closed before there was an answer.
    #[error("{0}")]
    Connection(String),
    /// The request is none that HTTP allows.
    #[error("the request cannot be sent: {0}")]
    Malformed(String),
}

/// Sends a request to the port of an instance, and reads its answer.
///
/// # Errors
/// When there is none.
pub async fn send(port: u16, request: ServiceRequest) -> Result<Answer, RequestError> {
    let mut message = http::Request::builder()
        .method(request.method.as_str())
        .uri(&request.path)
        .header("host", format!("{}:{port}", Ipv4Addr::LOCALHOST))
        .header("connection", "close");
    for (name, value) in &request.headers {
        message = message.header(name, value);
    }
    let is_typed = request
        .headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case("content-type"));
    let body = match &request.body {
        RequestBody::Nothing => Bytes::new(),
        RequestBody::Text(text) => Bytes::from(text.clone()),
        RequestBody::Json(value) => {
            if !is_typed {
                message = message.header("content-type", "application/json");
            }
            let json = serde_json::to_vec(&json(value));
            json.map_err(|error| RequestError::Malformed(error.to_string()))?.into()
        }
    };
    let message = message.body(Full::new(body));
    exchange(
        port,
        message.map_err(|error| RequestError::Malformed(error.to_string()))?,
    )
    .await
}

async fn exchange(port: u16, message: http::Request<Full<Bytes>>) -> Result<Answer, RequestError> {
    let lost = |error: &dyn std::fmt::Display| RequestError::Connection(error.to_string());
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| lost(&error))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    let driving = tokio::spawn(connection);
    let response = sender.send_request(message).await.map_err(|error| lost(&error))?;
    let status = response.status().as_u16();
    let mut kept = Vec::new();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.map_err(|error| lost(&error))?.data_ref() {
            let room = MOST_KEPT.saturating_sub(kept.len());
            kept.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    driving.abort();
    let body = String::from_utf8_lossy(&kept).into_owned();
    Ok(Answer { status, body })
}

/// TOML has times of its own; in JSON they are texts.
fn json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => values.iter().map(json).collect(),
        toml::Value::Table(table) => {
            serde_json::Value::Object(table.iter().map(|(name, value)| (name.clone(), json(value))).collect())
        }
    }
}

/// Whether an instance answers at a path, or, without one, takes connections.
pub async fn is_ready(port: u16, path: Option<&str>) -> bool {
    /// One that accepts a connection and says nothing yet is asked again.
    const PATIENCE: Duration = Duration::from_secs(2);
    let asking = async {
        let Some(path) = path else {
            return TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok();
        };
        let request = ServiceRequest {
            service: String::new(),
            instance: None,
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers: std::collections::BTreeMap::new(),
            body: RequestBody::Nothing,
            allow_status: Vec::new(),
        };
        send(port, request).await.is_ok_and(|answer| answer.status < 400)
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or(false)
}
