//! A registry that sends more than anybody can use.

use std::time::{Duration, Instant};

use helm_sigstore_kit::registry::{Action, Fault, index_of, media_type};
use serde_json::json;

use crate::support::World;

#[test]
fn manifests_of_candidates_count_towards_the_bytes_that_are_read() {
    let world = World::new();
    let (reference, pushed) = world.signed_web();
    let count = 24;
    for number in 0..count {
        let fat = json!({
            "schemaVersion": 2,
            "mediaType": media_type::MANIFEST,
            "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
            "layers": [],
            "subject": {"mediaType": media_type::MANIFEST, "digest": pushed.manifest_digest,
                "size": pushed.manifest.len()},
            "annotations": {"org.opencontainers.image.created": "2999-01-01T00:00:00Z"},
            "x": format!("{number}{}", "x".repeat(1_000_000)),
        });
        let store = world.registry.store();
        store.put_manifest("charts/web", None, media_type::MANIFEST, fat.to_string());
    }
    let limit = ["--max-candidate-bytes", "3000000"];
    let ended = world.verify(&[&reference, limit[0], limit[1]]).exits(4);
    assert!(ended.stderr.contains("--max-candidate-bytes"), "{}", ended.stderr);
    let asked = world.registry.requests().len();
    assert!(asked < count, "{asked} requests");
}

#[test]
fn endless_and_long_answers_are_undecided_at_once() {
    let world = World::new();
    let (reference, _) = world.signed_web();
    for (place, action) in [
        ("/referrers/", Action::Endless),
        ("/manifests/1.4.2", Action::Endless),
        ("/referrers/", Action::ReplaceBody(index_of(20_000))),
        ("/referrers/", Action::ReplaceBody("[".repeat(1 << 20).into_bytes())),
        ("/manifests/1.4.2", Action::ReplaceBody("{\"x\":".repeat(1 << 19).into_bytes())),
    ] {
        world.registry.fault(Fault::new(place, action));
        let started = Instant::now();
        world.verify(&[&reference]).exits(4);
        assert!(started.elapsed() < Duration::from_secs(10), "{place} {:?}", started.elapsed());
        world.registry.clear_faults();
    }
}
