//! Sends a session's request to a service, and waits for the answer.

use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::history::{Answer, NoAnswer};
use crate::scenario::{RequestBody, ServiceRequest};

/// How much of a body is kept, from its beginning.
const MOST_KEPT: usize = 64 << 10;

/// The request is none that HTTP allows.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be sent: {0}")]
pub struct RequestError(String);

/// Sends a request to the port of an instance, and reads its answer.
///
/// # Errors
/// When the request cannot be sent.
pub async fn send(port: u16, request: ServiceRequest) -> Result<Result<Answer, NoAnswer>, RequestError> {
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
            json.map_err(|error| RequestError(error.to_string()))?.into()
        }
    };
    let message = message.body(Full::new(body));
    let message = message.map_err(|error| RequestError(error.to_string()))?;
    Ok(exchange(port, message).await)
}

async fn exchange(port: u16, message: http::Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    let stream = stream.map_err(|_| NoAnswer::Closed)?;
    let lost = |error: hyper::Error| match error.is_parse() {
        true => NoAnswer::Malformed(error.to_string()),
        false => NoAnswer::Closed,
    };
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let driving = tokio::spawn(connection);
    let response = sender.send_request(message).await.map_err(lost)?;
    let status = response.status().as_u16();
    let mut kept = Vec::new();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame.map_err(lost)?.data_ref() {
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
        matches!(send(port, request).await, Ok(Ok(answer)) if answer.status < 400)
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or(false)
}
