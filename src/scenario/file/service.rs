//! Services of the file, and the requests that sessions are.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;

use super::program::{check_words, launched};
use super::raw::{RawRequest, RawService, Text};
use super::{Document, Names};
use crate::scenario::error::{Mistake, ScenarioError};
use crate::scenario::{RequestBody, Service, ServiceRequest};
use crate::suggest;

/// More processes of one service than that would only compete for the machine.
const MOST_INSTANCES: i64 = 32;

pub(super) fn read(
    document: &Document,
    entries: Vec<Spanned<RawService>>,
    base_dir: &Path,
) -> Result<Vec<Service>, ScenarioError> {
    let mut names = Names::new(document, "service");
    let mut services = Vec::new();
    for raw in entries {
        let raw = raw.into_inner();
        names.add(raw.name.get_ref(), raw.name.span(), "a service")?;
        let example = "`command = [\"uvicorn\", \"shop:app\", \"--port\", \"{port}\"]`";
        check_words(document, "`command`", &raw.command, example)?;
        let given = raw.instances.as_ref().map_or(1, |instances| *instances.get_ref());
        let Some(instances) = usize::try_from(given)
            .ok()
            .filter(|_| (1..=MOST_INSTANCES).contains(&given))
        else {
            let span = raw.instances.map_or(0..0, |instances| instances.span());
            return Err(document
                .error(Mistake::BadInstances(given), span, "here")
                .hint(format!("a service has 1 to {MOST_INSTANCES} instances")));
        };
        let restart = match raw.restart.as_ref().map(|restart| restart.get_ref().as_str()) {
            None | Some("when needed") => false,
            Some("each run") => true,
            Some(other) => {
                let span = raw.restart.as_ref().map_or(0..0, Spanned::span);
                return Err(document
                    .error(Mistake::UnknownRestart(other.to_owned()), span, "here")
                    .hint(suggest::word(other, ["when needed", "each run"])));
            }
        };
        if let Some(ready) = &raw.ready {
            check_path(document, ready)?;
        }
        services.push(Service {
            name: raw.name.get_ref().clone(),
            instances,
            program: launched(document, &raw.command, raw.env.as_ref(), raw.cwd.as_ref(), base_dir)?,
            ready: raw.ready.map(Spanned::into_inner),
            restart,
        });
    }
    Ok(services)
}

/// A session's request, to one of the services.
pub(super) fn request(
    document: &Document,
    raw: &RawRequest,
    allow_status: Option<&Spanned<Vec<Spanned<i64>>>>,
    services: &[Service],
) -> Result<ServiceRequest, ScenarioError> {
    let name = raw.service.get_ref();
    let Some(service) = services.iter().find(|service| service.name == *name) else {
        let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
        let hint = match names.is_empty() {
            true => "a service is a [[service]] table with `name` and `command`".to_owned(),
            false => match suggest::one_of(name, names.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("the services are {}", names.join(", ")),
            },
        };
        return Err(document
            .error(Mistake::UnknownService(name.clone()), raw.service.span(), "here")
            .hint(hint));
    };
    let instance = match &raw.instance {
        None => None,
        Some(given) => match usize::try_from(*given.get_ref()) {
            Ok(number @ 1..) if number <= service.instances => Some(number),
            _ => {
                return Err(document
                    .error(Mistake::UnknownInstance(*given.get_ref()), given.span(), "here")
                    .hint(format!("service `{name}` has {}", instances(service.instances))));
            }
        },
    };
    check_path(document, &raw.path)?;
    let method = raw.method.as_ref().map_or("GET", |method| method.get_ref());
    if http::Method::from_bytes(method.as_bytes()).is_err() {
        let span = raw.method.as_ref().map_or(0..0, Spanned::span);
        return Err(document
            .error(
                Mistake::BadRequest(format!("`{method}` is no HTTP method")),
                span,
                "here",
            )
            .hint("a method is a word such as GET, POST, PUT, PATCH or DELETE"));
    }
    let body = match (&raw.json, &raw.body) {
        (Some(json), Some(body)) => {
            return Err(document
                .error(
                    Mistake::BadRequest("`json` and `body` are both given".to_owned()),
                    body.span(),
                    "one too many",
                )
                .at(&document.source, document.first_line(json.span()), "the other"));
        }
        (Some(json), None) => RequestBody::Json(json.get_ref().clone()),
        (None, Some(body)) => RequestBody::Text(body.get_ref().clone()),
        (None, None) => RequestBody::Nothing,
    };
    let mut headers = BTreeMap::new();
    for (header, value) in &raw.headers {
        let is_header = http::HeaderName::from_bytes(header.get_ref().as_bytes()).is_ok();
        if !is_header || http::HeaderValue::from_str(value.get_ref()).is_err() {
            let what = format!("`{}: {}` is no header", header.get_ref(), value.get_ref());
            return Err(document
                .error(Mistake::BadRequest(what), header.span(), "here")
                .hint("a header is a name without blanks, and a value on one line"));
        }
        headers.insert(header.get_ref().clone(), value.get_ref().clone());
    }
    let mut statuses = Vec::new();
    for status in allow_status.iter().flat_map(|statuses| statuses.get_ref()) {
        match u16::try_from(*status.get_ref()) {
            Ok(number @ 100..=599) => statuses.push(number),
            _ => {
                return Err(document
                    .error(Mistake::BadStatus(*status.get_ref()), status.span(), "here")
                    .hint(
                        "statuses go from 100 to 599; those from 500 on fail a schedule unless they are listed here",
                    ));
            }
        }
    }
    Ok(ServiceRequest {
        service: name.clone(),
        instance,
        method: method.to_owned(),
        path: raw.path.get_ref().clone(),
        headers,
        body,
        allow_status: statuses,
    })
}

fn instances(count: usize) -> String {
    match count {
        1 => "one instance".to_owned(),
        count => format!("instances 1 to {count}"),
    }
}

fn check_path(document: &Document, path: &Text) -> Result<(), ScenarioError> {
    let written = path.get_ref();
    let fits = written.starts_with('/') && !written.contains(|c: char| c.is_whitespace() || c.is_control());
    match fits {
        true => Ok(()),
        false => Err(document
            .error(
                Mistake::BadRequest(format!("`{written}` is no path")),
                path.span(),
                "here",
            )
            .hint("a path begins with `/` and holds no blanks: write `%20` for one")),
    }
}
