//! The endpoints of the OCI distribution specification 1.1.

use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, IF_MATCH};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::Answer;
use super::auth::{Auth, Need};
use super::server::Shared;
use super::store::{digest_of, index, media_type};
use super::{Location, Referrers};

/// The largest manifest that is taken, in bytes: what CNCF distribution and others take.
const MAX_MANIFEST: usize = 4 << 20;

/// What a path below `/v2/` names.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Blob(&'a str),
    Manifest(&'a str),
    Referrers(&'a str),
    Tags,
    Upload(&'a str),
    Uploads,
}

/// Carries a request out.
pub(super) fn respond(shared: &Shared, parts: &Parts, body: &Bytes) -> Answer {
    let answer = route(shared, parts, body);
    answer.with("docker-distribution-api-version", "registry/2.0")
}

fn route(shared: &Shared, parts: &Parts, body: &Bytes) -> Answer {
    let path = parts.uri.path();
    let auth = &shared.options.auth;
    if path == "/token"
        && let Auth::Bearer(bearer) = auth
    {
        return bearer.token(parts, body);
    }
    let network = shared.options.content_network.then(|| called(parts));
    if network.is_some()
        && let Some(path) = path.strip_prefix("/cdn")
    {
        return match (parts.method.as_str(), parse(path)) {
            ("GET" | "HEAD", Some((repository, Place::Blob(digest)))) => {
                Call { shared, parts, repository }.blob(digest)
            }
            _ => not_found_text(),
        };
    }
    let realm = match &network {
        Some(host) => format!("http://{host}/token"),
        None => format!("{}/token", shared.origin()),
    };
    if path == "/v2/" || path == "/v2" {
        let need = Need::of(&parts.method, None);
        let versions = || Answer::new(StatusCode::OK, "application/json", "{}");
        return auth.challenge(&parts.headers, &need, &realm).unwrap_or_else(versions);
    }
    let Some((repository, place)) = parse(path) else {
        return not_found_text();
    };
    let need = Need::of(&parts.method, Some(repository));
    if let Some(challenge) = auth.challenge(&parts.headers, &need, &realm) {
        return challenge;
    }
    let call = Call { shared, parts, repository };
    match (parts.method.as_str(), place) {
        ("GET" | "HEAD", Place::Manifest(reference)) => call.manifest(reference),
        ("PUT", Place::Manifest(reference)) => call.put_manifest(reference, body),
        ("DELETE", Place::Manifest(reference)) => call.delete_manifest(reference),
        ("GET" | "HEAD", Place::Blob(digest)) => match &network {
            Some(host) => {
                let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
                let to = format!("http://localhost:{port}/cdn{path}");
                Answer::empty(StatusCode::TEMPORARY_REDIRECT).with("location", &to)
            }
            None => call.blob(digest),
        },
        ("DELETE", Place::Blob(digest)) => call.delete_blob(digest),
        ("GET" | "HEAD", Place::Tags) => call.tags(),
        ("GET" | "HEAD", Place::Referrers(digest)) => call.referrers(digest),
        ("POST", Place::Uploads) => call.begin_upload(body),
        (method, Place::Upload(id)) => call.upload(method, id, body),
        _ => Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "method not allowed"),
    }
}

/// The host and port that the client asked for.
fn called(parts: &Parts) -> String {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    host.unwrap_or_default().to_owned()
}

/// Repository and place of a path; `None` for what is no such path.
fn parse(path: &str) -> Option<(&str, Place<'_>)> {
    let rest = path.strip_prefix("/v2/")?;
    let named = |marker: &str| {
        let (repository, last) = rest.rsplit_once(marker)?;
        (!last.is_empty() && !last.contains('/')).then_some((repository, last))
    };
    let (repository, place) = if let Some(repository) = rest.strip_suffix("/tags/list") {
        (repository, Place::Tags)
    } else if let Some(repository) = rest.strip_suffix("/blobs/uploads/") {
        (repository, Place::Uploads)
    } else if let Some(repository) = rest.strip_suffix("/blobs/uploads") {
        (repository, Place::Uploads)
    } else if let Some((repository, id)) = named("/blobs/uploads/") {
        (repository, Place::Upload(id))
    } else if let Some((repository, digest)) = named("/blobs/") {
        (repository, Place::Blob(digest))
    } else if let Some((repository, reference)) = named("/manifests/") {
        (repository, Place::Manifest(reference))
    } else if let Some((repository, digest)) = named("/referrers/") {
        (repository, Place::Referrers(digest))
    } else {
        return None;
    };
    is_repository(repository).then_some((repository, place))
}

/// The name grammar of the specification ("Pulling manifests").
fn is_repository(name: &str) -> bool {
    let component = |part: &str| {
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        ends(part.as_bytes().first())
            && ends(part.as_bytes().last())
            && part
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
    };
    name.len() <= 255 && name.split('/').all(component)
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// One request to one repository.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    parts: &'a Parts,
    pub(super) repository: &'a str,
}

impl Call<'_> {
    fn manifest(&self, reference: &str) -> Answer {
        let store = &self.shared.store;
        let mut found = store.resolve(self.repository, reference);
        if found.is_none() && self.shared.options.digest_tags {
            found = store.resolve(self.repository, &reference.replacen("sha256-", "sha256:", 1));
        }
        let manifest = found.and_then(|digest| {
            store.manifest(self.repository, &digest).map(|manifest| (digest, manifest))
        });
        let Some((digest, (media_type, bytes))) = manifest else {
            let code =
                if store.exists(self.repository) { "MANIFEST_UNKNOWN" } else { "NAME_UNKNOWN" };
            return Answer::error(StatusCode::NOT_FOUND, code, "manifest unknown");
        };
        if self.shared.options.checks_accept && !self.accepts(&media_type) {
            let message = "OCI manifest found, but accept header does not support it";
            return Answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message);
        }
        Answer::new(StatusCode::OK, &media_type, bytes)
            .with("docker-content-digest", &digest)
            .with("etag", &format!("\"{digest}\""))
    }

    fn accepts(&self, media_type: &str) -> bool {
        let headers =
            self.parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut types = headers
            .flat_map(|header| header.split(','))
            .map(|item| item.split(';').next().unwrap_or_default().trim());
        ![media_type::MANIFEST, media_type::INDEX].contains(&media_type)
            || types.any(|accepted| accepted == media_type)
    }

    fn put_manifest(&self, reference: &str, body: &Bytes) -> Answer {
        let options = &self.shared.options;
        let store = &self.shared.store;
        if body.len() > MAX_MANIFEST {
            return Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "over 4 MiB");
        }
        let Ok(content) = serde_json::from_slice::<Value>(body) else {
            return manifest_invalid("manifest is not JSON");
        };
        let declared = content.get("mediaType").and_then(Value::as_str);
        let typed = self.parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let Some(media_type) = typed.or(declared) else {
            return manifest_invalid("no media type");
        };
        if declared.is_some_and(|declared| declared != media_type) {
            return manifest_invalid("content type and mediaType differ");
        }
        let digest = digest_of(body);
        if reference.contains(':') {
            if !is_digest(reference) || reference != digest {
                let message = "provided digest did not match uploaded content";
                return Answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message);
            }
        } else if !is_tag(reference) {
            return Answer::error(StatusCode::BAD_REQUEST, "TAG_INVALID", "invalid tag");
        }
        if let Some(refusal) = self.refuse_types(&content) {
            return refusal;
        }
        if options.check_references
            && let Some(missing) = self.missing_reference(&content)
        {
            let message = format!("blob unknown to registry: {missing}");
            return Answer::error(StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", &message);
        }
        let tag = (!reference.contains(':')).then_some(reference);
        let known = tag.and_then(|tag| store.resolve(self.repository, tag));
        if options.immutable_tags && known.is_some() {
            let message = "tag is immutable";
            return Answer::error(StatusCode::PRECONDITION_FAILED, "PRECONDITION", message);
        }
        if options.honours_if_match
            && let Some(wanted) = self.parts.headers.get(IF_MATCH)
            && known.is_none_or(|known| wanted.as_bytes() != format!("\"{known}\"").as_bytes())
        {
            return Answer::error_of(StatusCode::PRECONDITION_FAILED);
        }
        store.put_manifest(self.repository, tag, media_type, body.clone());
        let path = format!("/v2/{}/manifests/{reference}", self.repository);
        let mut answer = self
            .located(Answer::empty(StatusCode::CREATED), &path)
            .with("docker-content-digest", &digest);
        let subject = content.get("subject").and_then(|subject| subject.get("digest"));
        if let Some(subject) = subject.and_then(Value::as_str)
            && options.sends_oci_subject()
        {
            answer.set_header("oci-subject", subject);
        }
        answer
    }

    /// GitLab's allow-list: 400 for a config or artifact type that is not on it.
    fn refuse_types(&self, content: &Value) -> Option<Answer> {
        let allowed = self.shared.options.allowed_types.as_ref()?;
        let types = [
            content.get("artifactType"),
            content.get("config").and_then(|config| config.get("mediaType")),
        ];
        let unknown = types
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|found| !allowed.iter().any(|known| known == found))?;
        Some(manifest_invalid(&format!("unknown media type: {unknown}")))
    }

    /// The first blob or manifest that the manifest names and the repository lacks. A subject may
    /// be missing ("Pushing Manifests with Subject").
    fn missing_reference(&self, content: &Value) -> Option<String> {
        let store = &self.shared.store;
        let digest = |descriptor: &Value| {
            descriptor.get("digest").and_then(Value::as_str).unwrap_or("none").to_owned()
        };
        let list = |name: &str| content.get(name).and_then(Value::as_array).into_iter().flatten();
        let blobs = content.get("config").into_iter().chain(list("layers")).map(digest);
        let mut blobs = blobs.filter(|digest| store.blob(self.repository, digest).is_none());
        let manifests = list("manifests").map(digest);
        let mut manifests =
            manifests.filter(|digest| store.resolve(self.repository, digest).is_none());
        blobs.next().or_else(|| manifests.next())
    }

    fn delete_manifest(&self, reference: &str) -> Answer {
        let store = &self.shared.store;
        let gone = if reference.contains(':') {
            store.delete_manifest(self.repository, reference)
        } else {
            store.delete_tag(self.repository, reference)
        };
        deleted(gone, "MANIFEST_UNKNOWN")
    }

    fn blob(&self, digest: &str) -> Answer {
        match self.shared.store.blob(self.repository, digest) {
            Some(bytes) => Answer::new(StatusCode::OK, "application/octet-stream", bytes)
                .with("docker-content-digest", digest),
            None => Answer::error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown"),
        }
    }

    fn delete_blob(&self, digest: &str) -> Answer {
        deleted(self.shared.store.delete_blob(self.repository, digest), "BLOB_UNKNOWN")
    }

    fn tags(&self) -> Answer {
        let store = &self.shared.store;
        if !store.exists(self.repository) {
            return Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "repository unknown");
        }
        let last = self.query("last").unwrap_or_default();
        let tags: Vec<_> =
            store.tags(self.repository).into_iter().filter(|tag| *tag > last).collect();
        let size = self.page_size(self.query("n"));
        let page: Vec<_> = tags.iter().take(size).collect();
        let body = json!({ "name": self.repository, "tags": page });
        let answer = Answer::new(StatusCode::OK, "application/json", body.to_string());
        match page.last() {
            Some(end) if tags.len() > page.len() => {
                let path = format!("/v2/{}/tags/list?last={end}&n={size}", self.repository);
                answer.with("link", &format!("<{path}>; rel=\"next\""))
            }
            _ => answer,
        }
    }

    fn referrers(&self, digest: &str) -> Answer {
        let options = &self.shared.options;
        let store = &self.shared.store;
        match &options.referrers {
            Referrers::Api => (),
            Referrers::ApiForKnown => {
                if store.resolve(self.repository, digest).is_none() {
                    return Answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "unknown");
                }
            }
            Referrers::Empty => return Answer::new(StatusCode::OK, media_type::INDEX, index(&[])),
            Referrers::FalseOk => {
                return Answer::new(StatusCode::OK, "application/json", index(&[]));
            }
            Referrers::NotFound => return not_found_text(),
            Referrers::NotFoundJson => {
                let message = "the operation is unsupported";
                return Answer::error(StatusCode::NOT_FOUND, "METHOD_UNKNOWN", message);
            }
            Referrers::RedirectTo(target) => {
                let path = super::log::path_and_query(self.parts);
                let target = target.replace("{path}", &path);
                return Answer::empty(StatusCode::SEE_OTHER).with("location", &target);
            }
            Referrers::Status(status) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::NOT_IMPLEMENTED);
                return Answer::error_of(status);
            }
        }
        if !is_digest(digest) {
            return Answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "invalid digest");
        }
        let mut entries = store.referrers(self.repository, digest);
        let wanted = self.query("artifactType").filter(|_| options.filters);
        if let Some(wanted) = &wanted {
            entries.retain(|entry| entry.get("artifactType").is_some_and(|found| found == wanted));
        }
        let start = self.query("after").and_then(|text| text.parse().ok()).unwrap_or(0_usize);
        let size = self.page_size(None);
        let end = start.saturating_add(size).min(entries.len());
        let page = entries.get(start.min(end)..end).unwrap_or_default();
        let mut answer = Answer::new(StatusCode::OK, media_type::INDEX, index(page));
        let mut next = format!("/v2/{}/referrers/{digest}?after={end}", self.repository);
        if let Some(wanted) = &wanted {
            answer.set_header("oci-filters-applied", "artifactType");
            let wanted: String = form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
            next += &format!("&artifactType={wanted}");
        }
        if end < entries.len() {
            answer.set_header("link", &format!("<{next}>; rel=\"next\""));
        }
        answer
    }

    pub(super) fn located(&self, answer: Answer, path: &str) -> Answer {
        let location = match &self.shared.options.location {
            Location::Absolute => format!("{}{path}", self.shared.origin()),
            Location::Foreign(origin) => format!("{origin}{path}"),
            Location::Missing => return answer,
            Location::Relative => path.to_owned(),
            Location::Verbatim(text) => text.clone(),
        };
        answer.with("location", &location)
    }

    /// Whether the request may read another repository, for a mount.
    pub(super) fn may_pull(&self, repository: &str) -> bool {
        let need = Need::of(&Method::GET, Some(repository));
        self.shared.options.auth.challenge(&self.parts.headers, &need, "").is_none()
    }

    fn page_size(&self, asked: Option<String>) -> usize {
        let most = self.shared.options.page_size.max(1);
        asked.and_then(|text| text.parse().ok()).map_or(most, |asked: usize| asked.clamp(1, most))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    pub(super) fn query(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query()?;
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

fn deleted(gone: bool, unknown: &str) -> Answer {
    if gone {
        Answer::empty(StatusCode::ACCEPTED)
    } else {
        Answer::error(StatusCode::NOT_FOUND, unknown, "nothing to delete")
    }
}

fn manifest_invalid(message: &str) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message)
}

fn not_found_text() -> Answer {
    let text = "404 page not found\n";
    Answer::new(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text)
}
