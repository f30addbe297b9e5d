//! The shared index, with many writers, slow registries and writers that know no manners.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use helm_sigstore_kit::registry::{
    Action, Auth, Bearer, Fault, Options, Registry as Kit, media_type,
};
use serde_json::{Value, json};

use super::cosign_tag::SignatureLayer;
use super::detach::{EntriesGone, LayersGone};
use super::fallback_tag::IndexEntry;
use super::shared_tag::{Pace, Unsettled};
use crate::chart::Digest;
use crate::error::{Class, Reason, Result};
use crate::net;
use crate::registry::{
    Access, Credentials, Descriptor, Registry, Repository, Secret, Settings, SignatureImage,
    Sources,
};

const PATH: &str = "charts/web";

fn subject() -> Digest {
    Digest::of(b"chart")
}

fn tag() -> String {
    format!("sha256-{}", subject().hex())
}

/// A writer of its own: own connections, own credentials.
fn writer(kit: &Kit) -> Repository {
    let client = net::Client::new(net::Options::default()).unwrap();
    let settings = Settings { plain_http: true, ..Settings::default() };
    let registry = Registry::new(client, Credentials::anonymous(), settings);
    registry.repository(&kit.host(), PATH, Access::PullPush).unwrap()
}

/// The entry of a signature that is there.
fn entry(kit: &Kit, name: &str) -> Descriptor {
    let bytes = json!({"schemaVersion": 2, "mediaType": media_type::MANIFEST, "name": name});
    let bytes = bytes.to_string().into_bytes();
    kit.put_manifest(PATH, None, media_type::MANIFEST, bytes.clone());
    Descriptor::of(media_type::MANIFEST, &bytes)
}

async fn write(kit: &Kit, name: &str, pace: Pace) -> Result<()> {
    let entry = IndexEntry { subject: subject(), entry: entry(kit, name) };
    Unsettled::make(&writer(kit), entry, pace).await?.settle().await
}

async fn add(kit: &Kit, name: &str) -> Unsettled<IndexEntry> {
    let entry = IndexEntry { subject: subject(), entry: entry(kit, name) };
    Unsettled::make(&writer(kit), entry, Pace::default()).await.unwrap()
}

fn listed(kit: &Kit) -> Vec<Value> {
    kit.fallback_referrers(PATH, &subject().to_string())
}

fn put(kit: &Kit, entries: &[Value]) {
    let index = helm_sigstore_kit::registry::index(entries);
    kit.put_manifest(PATH, Some(&tag()), media_type::INDEX, index);
}

fn puts(kit: &Kit) -> usize {
    kit.requests().iter().filter(|request| request.method == "PUT").count()
}

/// The real pace, ten times as fast.
fn hasty() -> Pace {
    let millis = Duration::from_millis;
    Pace { rest: millis(100), spread: millis(50), most_spread: millis(100), ..Pace::default() }
}

#[tokio::test]
async fn forty_writers_at_once_all_stand() {
    for delay in [0, 30] {
        let kit = Kit::start(Options::fallback());
        kit.delay_per_response(delay);
        let names: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let writers = names.iter().map(|name| write(&kit, name, Pace::default()));
        for written in join_all(writers).await {
            written.unwrap();
        }
        assert_eq!(listed(&kit).len(), 40, "with answers after {delay} ms");
    }
}

/// A legacy signature by `name`, over the payload of all.
fn layer(kit: &Kit, name: &str) -> SignatureLayer {
    kit.put_blob(PATH, b"payload".to_vec());
    let mut layer = Descriptor::of("application/vnd.dev.cosign.simplesigning.v1+json", b"payload");
    layer.annotations.insert("dev.cosignproject.cosign/signature".into(), name.into());
    SignatureLayer { subject: subject(), layer }
}

#[tokio::test]
async fn forty_writers_of_one_signature_image_all_stand() {
    for delay in [0, 30] {
        let kit = Kit::start(Options::default());
        kit.delay_per_response(delay);
        let writers = (0..40).map(|number| {
            let layer = layer(&kit, &number.to_string());
            let writer = writer(&kit);
            async move { Unsettled::make(&writer, layer, Pace::default()).await?.settle().await }
        });
        for written in join_all(writers.collect::<Vec<_>>()).await {
            written.unwrap();
        }
        let (_, bytes) = kit.manifest(PATH, &format!("{}.sig", tag())).unwrap();
        let image: Value = serde_json::from_slice(&bytes).unwrap();
        let layers = image["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 40, "with answers after {delay} ms");
        let config = kit.blob(PATH, image["config"]["digest"].as_str().unwrap()).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 40);
    }
}

/// Storing the config takes longer than a copy may be old.
#[tokio::test]
async fn an_image_that_another_wrote_while_our_config_was_stored_is_not_written_over() {
    let kit = Kit::start(Options::default());
    kit.delay_per_response(600);
    let (ours, theirs) = (layer(&kit, "ours"), layer(&kit, "theirs"));
    let image = SignatureImage::default().with(&theirs.layer).unwrap();
    let name = format!("{}.sig", tag());
    let meanwhile = Action::run(move |store| {
        store.put_manifest(PATH, Some(&name), media_type::MANIFEST, image.manifest.clone());
    });
    kit.fault(Fault::once("/blobs/uploads/", meanwhile).method("POST"));
    Unsettled::make(&writer(&kit), ours, Pace::default()).await.unwrap();
    let (_, bytes) = kit.manifest(PATH, &format!("{}.sig", tag())).unwrap();
    let image: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(image["layers"].as_array().unwrap().len(), 2, "{image:#}");
}

#[tokio::test]
async fn an_entry_is_taken_out_while_eight_sign_and_all_of_theirs_stand() {
    for delay in [0, 30] {
        let kit = Kit::start(Options::fallback());
        let wrong = entry(&kit, "wrong");
        put(&kit, &[serde_json::to_value(&wrong).unwrap()]);
        kit.delay_per_response(delay);
        let names: Vec<String> = (0..8).map(|number| number.to_string()).collect();
        let signers = join_all(names.iter().map(|name| write(&kit, name, Pace::default())));
        let remover = writer(&kit);
        let gone = async {
            let edit = EntriesGone { subject: subject(), digests: vec![wrong.digest] };
            Unsettled::make(&remover, edit, Pace::default()).await?.settle().await
        };
        let (signed, gone) = futures_util::future::join(signers, gone).await;
        gone.unwrap();
        signed.into_iter().for_each(|signed| signed.unwrap());
        let digests: Vec<_> = listed(&kit).iter().map(|entry| entry["digest"].clone()).collect();
        assert_eq!(digests.len(), 8, "with answers after {delay} ms");
        assert!(!digests.contains(&json!(wrong.digest.to_string())));
    }
}

#[tokio::test]
async fn a_layer_is_taken_out_while_eight_sign_and_all_of_theirs_stand() {
    for delay in [0, 30] {
        let kit = Kit::start(Options::default());
        let wrong = layer(&kit, "wrong");
        let gone = wrong.layer.clone();
        let first = writer(&kit);
        Unsettled::make(&first, wrong, hasty()).await.unwrap().settle().await.unwrap();
        kit.delay_per_response(delay);
        let signers = (0..8).map(|number| {
            let layer = layer(&kit, &number.to_string());
            let writer = writer(&kit);
            async move { Unsettled::make(&writer, layer, Pace::default()).await?.settle().await }
        });
        let tag = format!("{}.sig", tag());
        let edit = LayersGone { tag: tag.clone(), layers: vec![gone] };
        let remover = writer(&kit);
        let removed =
            async { Unsettled::make(&remover, edit, Pace::default()).await?.settle().await };
        let signers = join_all(signers.collect::<Vec<_>>());
        let (signed, removed) = futures_util::future::join(signers, removed).await;
        removed.unwrap();
        signed.into_iter().for_each(|signed| signed.unwrap());
        let (_, bytes) = kit.manifest(PATH, &tag).unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(!text.contains("wrong"), "{text}");
        let image: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(image["layers"].as_array().unwrap().len(), 8, "with answers after {delay} ms");
    }
}

#[tokio::test]
async fn a_writer_that_never_looks_back_takes_nothing_away_for_good() {
    let kit = Kit::start(Options::fallback());
    put(&kit, &[]);
    let (store, foreign) = (kit.store(), serde_json::to_value(entry(&kit, "foreign")).unwrap());
    let ours = json!(entry(&kit, "ours").digest.to_string());
    let stranger = std::thread::spawn(move || {
        // Reads, dawdles, writes what it read and one entry more, and is content.
        for round in 0..8 {
            let mut read = match round {
                // The first time it has read before ours was there, and writes when it is.
                0 => Vec::new(),
                _ => store.fallback_referrers(PATH, &subject().to_string()),
            };
            std::thread::sleep(Duration::from_millis(300));
            let stands = || {
                let listed = store.fallback_referrers(PATH, &subject().to_string());
                listed.iter().any(|entry| entry["digest"] == ours)
            };
            for _ in 0..400 {
                if round > 0 || stands() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            read.retain(|known| *known != foreign);
            read.push(foreign.clone());
            let index = helm_sigstore_kit::registry::index(&read);
            store.put_manifest(PATH, Some(&tag()), media_type::INDEX, index);
        }
    });
    write(&kit, "ours", Pace::default()).await.unwrap();
    stranger.join().unwrap();
    let digests: Vec<_> = listed(&kit).iter().map(|entry| entry["digest"].clone()).collect();
    assert_eq!(digests.len(), 2, "{digests:?}");
    assert!(digests.contains(&json!(entry(&kit, "ours").digest.to_string())));
    assert!(puts(&kit) > 1, "ours was never taken away: this test shows nothing");
}

#[tokio::test]
async fn an_entry_is_looked_for_a_second_after_it_was_written() {
    let kit = Kit::start(Options::fallback());
    let unsettled = add(&kit, "x").await;
    let (began, asked) = (Instant::now(), kit.requests().len());
    unsettled.settle().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(990), "{:?}", began.elapsed());
    assert_eq!(kit.requests().len(), asked + 1);
    assert_eq!(puts(&kit), 1);
}

#[tokio::test]
async fn a_slow_registry_is_waited_for_twice_as_long_as_it_takes() {
    let kit = Kit::start(Options::fallback());
    kit.delay_per_response(800);
    let unsettled = add(&kit, "x").await;
    kit.delay_per_response(0);
    let began = Instant::now();
    unsettled.settle().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(1550), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_index_that_is_too_old_is_read_again_before_it_is_written() {
    let kit = Kit::start(Options::fallback());
    // Nobody is this fast, so that everything is too old.
    let pace = Pace { fresh: Duration::ZERO, ..hasty() };
    let error = write(&kit, "x", pace).await.unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Undecided, Reason::LimitReached));
    assert!(error.to_string().contains("cannot be written fast enough"), "{error}");
    assert_eq!((kit.requests().len(), puts(&kit)), (10, 0));
}

#[tokio::test]
async fn an_index_is_read_again_before_a_write_that_was_turned_away_is_repeated() {
    for turned_away in [
        Action::status_with(429, "Retry-After", "1"),
        Action::status(503),
        // CNCF distribution, where others are storing a blob that the document names.
        Action::Status {
            status: 400,
            headers: Vec::new(),
            body: json!({"errors": [{"code": "DIGEST_INVALID"}]}).to_string().into(),
        },
        Action::Reset,
        Action::LoseAnswer,
    ] {
        let kit = Kit::start(Options::fallback());
        let lost = matches!(turned_away, Action::LoseAnswer);
        kit.fault(Fault::once("/manifests/sha256-", turned_away.clone()).method("PUT"));
        let (store, name) = (kit.store(), tag());
        let other = serde_json::to_value(entry(&kit, "other")).unwrap();
        let meanwhile = Action::run(move |_| {
            let mut read = store.fallback_referrers(PATH, &subject().to_string());
            read.push(other.clone());
            let index = helm_sigstore_kit::registry::index(&read);
            store.put_manifest(PATH, Some(&name), media_type::INDEX, index);
        });
        // Another writes between our read and our attempt, which would take that away.
        kit.fault(Fault::once("/manifests/sha256-", meanwhile).method("GET"));
        write(&kit, "ours", hasty()).await.unwrap();
        let lines: Vec<_> = kit.requests().iter().map(|request| request.method.clone()).collect();
        let expected = if lost { 1 } else { 2 };
        assert_eq!(puts(&kit), expected, "{turned_away:?}: {lines:?}");
        assert!(!lines.windows(2).any(|pair| pair == ["PUT", "PUT"]), "{turned_away:?}: {lines:?}");
        assert_eq!(listed(&kit).len(), expected, "{turned_away:?}");
    }
}

/// A token that expires between reading and writing: getting another takes time.
#[tokio::test]
async fn an_index_is_read_again_with_the_new_token_when_the_old_one_has_expired() {
    let bearer = Bearer::new("jane", "secret");
    let kit = Kit::start(Options { auth: Auth::Bearer(bearer.clone()), ..Options::fallback() });
    let entry = entry(&kit, "ours");
    let client = net::Client::new(net::Options::default()).unwrap();
    let settings = Settings { plain_http: true, ..Settings::default() };
    let given = Some(("jane".to_owned(), Secret::new("secret")));
    let credentials = Credentials::new(Sources { given, ..Sources::default() });
    let registry = Registry::new(client, credentials, settings);
    let repository = registry.repository(&kit.host(), PATH, Access::PullPush).unwrap();
    repository.manifest("1").await.unwrap();
    kit.reset_requests();
    let expires = Action::run(move |_| bearer.revoke_all());
    kit.fault(Fault::once("/manifests/sha256-", expires).method("GET"));
    let entry = IndexEntry { subject: subject(), entry };
    let unsettled = Unsettled::make(&repository, entry, hasty()).await.unwrap();
    unsettled.settle().await.unwrap();
    let lines: Vec<_> = kit.requests().iter().map(|r| (r.method.clone(), r.status)).collect();
    let lines: Vec<_> = lines.iter().map(|(method, status)| (method.as_str(), *status)).collect();
    let (get, put) = (("GET", 404), ("PUT", 401));
    let token = ("GET", 200);
    assert_eq!(lines[..2], [get, put], "{lines:?}");
    assert_eq!(lines[2..], [("GET", 401), token, get, ("PUT", 201), ("GET", 200)], "{lines:?}");
}

#[tokio::test]
async fn a_write_that_is_always_turned_away_is_given_up() {
    let kit = Kit::start(Options::fallback());
    kit.fault(Fault::new("/manifests/sha256-", Action::status(503)).method("PUT"));
    let error = write(&kit, "x", hasty()).await.unwrap_err();
    assert!(error.to_string().contains(": 503"), "{error}");
    assert_eq!(puts(&kit), 4);
    let kit = Kit::start(Options::fallback());
    let long = Action::status_with(429, "Retry-After", "3600");
    kit.fault(Fault::new("/manifests/sha256-", long).method("PUT"));
    let error = write(&kit, "x", hasty()).await.unwrap_err();
    assert_eq!((error.reason, puts(&kit)), (Reason::Throttled, 1));
}

#[tokio::test]
async fn a_tag_that_somebody_empties_each_time_is_given_up() {
    let kit = Kit::start(Options::fallback());
    let name = tag();
    let erase = Action::run(move |store| {
        let empty = helm_sigstore_kit::registry::index(&[]);
        store.put_manifest(PATH, Some(&name), media_type::INDEX, empty);
    });
    kit.fault(Fault::new("/manifests/sha256-", erase).method("PUT"));
    let error = write(&kit, "x", hasty()).await.unwrap_err();
    assert!(error.to_string().contains("being rewritten by others"), "{error}");
    assert_eq!((error.class, puts(&kit)), (Class::Undecided, 10));
}

#[tokio::test]
async fn a_refusal_says_what_to_ask_the_administrator() {
    let json = |code: &str, message: &str| {
        json!({"errors": [{"code": code, "message": message}]}).to_string().into_bytes()
    };
    let answers = [
        (409, json("CONFLICT", "tag exists"), "exempt the tags sha256-*"),
        (412, json("PRECONDITION", "x"), "exempt the tags sha256-*"),
        (403, json("DENIED", "The tag is immutable"), "exempt the tags sha256-*"),
        (400, json("TAG_INVALID", "it cannot be overwritten"), "exempt the tags sha256-*"),
        (403, json("DENIED", "adding 1 KiB would exceed the configured upper limit"), "quota"),
        (
            413,
            json("SIZE_INVALID", "x"),
            "the registry, or a proxy before it, does not take so many",
        ),
        (400, json("MANIFEST_BLOB_UNKNOWN", "blob unknown"), "names something that is gone"),
        (403, json("DENIED", "no"), ""),
    ];
    for (status, body, words) in answers {
        let kit = Kit::start(Options::fallback());
        put(&kit, &[]);
        let action = Action::Status { status, headers: Vec::new(), body };
        kit.fault(Fault::new("/manifests/sha256-", action).method("PUT"));
        let error = write(&kit, "x", hasty()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!(": {status}")) && text.contains(words), "{text}");
        assert_eq!((error.class, puts(&kit)), (Class::Undecided, 1));
        if words.is_empty() {
            assert!(!text.contains("administrator"), "{text}");
        }
    }
}
