//! A world whose trust comes by TUF.

use std::path::PathBuf;

use helm_sigstore_kit::tuf::Tuf;

use crate::support::{Ended, World};

/// The name of the instance.
pub(crate) const NAME: &str = "kit";

/// A world that `trust init` has been run in, and the repository of its instance.
pub(crate) fn private() -> (World, Tuf) {
    let mut world = World::new();
    let tuf = repository(&world);
    world.environment.remove("HELM_SIGSTORE_TRUSTED_ROOT");
    world.environment.remove("HELM_SIGSTORE_SIGNING_CONFIG");
    init(&world, &tuf).exits(0);
    world.environment.insert("HELM_SIGSTORE_INSTANCE".to_owned(), NAME.to_owned());
    tuf.take_requests();
    (world, tuf)
}

/// A repository with the documents of the world's Sigstore.
pub(crate) fn repository(world: &World) -> Tuf {
    Tuf::start(&[
        ("trusted_root.json", world.sigstore.trusted_root_json()),
        ("signing_config.v0.2.json", world.sigstore.signing_config_json()),
    ])
}

/// Runs `trust init`.
pub(crate) fn init(world: &World, tuf: &Tuf) -> Ended {
    let root = world.argument("1.root.json");
    std::fs::write(&root, tuf.root()).unwrap();
    world.run(&["trust", "init", NAME, "--mirror", &tuf.url(), "--root", &root])
}

/// The cache of the instance.
pub(crate) fn cache(world: &World) -> PathBuf {
    world.path("home/.cache/helm/sigstore/trust/kit.json")
}

/// A day and an hour from now: what is cached is no longer fresh.
pub(crate) fn tomorrow() -> jiff::Timestamp {
    jiff::Timestamp::now() + jiff::SignedDuration::from_hours(25)
}

/// Two months from now: everything has expired.
pub(crate) fn much_later() -> jiff::Timestamp {
    jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 60)
}
