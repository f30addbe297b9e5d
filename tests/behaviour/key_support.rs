//! What the tests of keys share.

use helm_sigstore_kit::registry::Pushed;

use crate::support::{Ended, World};

/// The password of every key that a test makes.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A world with `NAME.key` and `NAME.pub` of its own, and no token.
#[track_caller]
pub(crate) fn with_key(mut world: World, name: &str) -> World {
    world.environment.remove("SIGSTORE_ID_TOKEN");
    world.environment.insert("COSIGN_PASSWORD".to_owned(), PASSWORD.to_owned());
    generate(&world, name);
    world
}

/// Makes one more key.
#[track_caller]
pub(crate) fn generate(world: &World, name: &str) -> Ended {
    world.run(&["key", "generate", "--output-key-prefix", &world.argument(name)]).exits(0)
}

/// `sha256:HEX` of a public key, as OpenSSL would say it.
pub(crate) fn key_id(world: &World, name: &str) -> String {
    let pem = std::fs::read_to_string(world.path(&format!("{name}.pub"))).unwrap();
    let der = pem::parse(pem).unwrap().into_contents();
    helm_sigstore_kit::registry::digest_of(&der)
}

/// Pushes `web` 1.4.2 and signs it with the key `release` and `more`; forgets the requests that took.
#[track_caller]
pub(crate) fn signed(world: &World, more: &[&str]) -> (String, Pushed) {
    let (reference, pushed) = world.push_web();
    sign(world, &reference, more).exits(0);
    world.registry.reset_requests();
    world.sigstore.reset_requests();
    (reference, pushed)
}

/// Signs with the key `release`.
pub(crate) fn sign(world: &World, object: &str, more: &[&str]) -> Ended {
    let key = world.argument("release.key");
    let mut words = vec!["sign", object, "--key", &key];
    words.extend(more);
    world.run(&words)
}

/// Verifies with the public key `name`.
pub(crate) fn verify(world: &World, object: &str, name: &str, more: &[&str]) -> Ended {
    let key = world.argument(&format!("{name}.pub"));
    let mut words = vec!["verify", object, "--key", &key];
    words.extend(more);
    world.run(&words)
}

/// The first result of the same in JSON.
#[track_caller]
pub(crate) fn verdict(world: &World, object: &str, name: &str, more: &[&str]) -> serde_json::Value {
    let mut words = vec!["-o", "json"];
    words.extend(more);
    verify(world, object, name, &words).json()["results"][0].clone()
}
