//! What no registry can be brought to by way of `find`.

use super::*;
use crate::error::Class;
use crate::net;
use crate::registry::{Credentials, Registry, Settings};

#[tokio::test]
async fn what_nothing_was_done_about_is_no_success() {
    let client = net::Client::new(net::Options::default()).unwrap();
    let settings = Settings { plain_http: true, ..Settings::default() };
    let registry = Registry::new(client, Credentials::anonymous(), settings);
    // Nobody listens there, and nobody is asked.
    let repository = registry.repository("127.0.0.1:1", "charts/web", Access::PullPush).unwrap();
    let digest = Digest::of(b"an index under the tag");
    let place = TreePlace {
        place: COSIGN_TAG,
        object: "tag sha256-00.att".to_owned(),
        subject: digest.to_string(),
        status: "1 found".to_owned(),
        answered: true,
        attached: Vec::new(),
        error: None,
    };
    let attachment = Attachment { digest: digest.to_string(), ..Attachment::default() };
    let detachment = Detachment {
        reference: "oci://127.0.0.1:1/charts/web:1.4.2".to_owned(),
        manifest_digest: digest.to_string(),
        pinned: String::new(),
        signature_repository: None,
        targets: vec![Target::new(&digest, &place, &attachment).unwrap()],
        repository,
        manifests: BTreeMap::new(),
    };
    let error = detachment.remove(&World::new(jiff::Timestamp::now)).await.unwrap_err();
    assert_eq!((error.class, error.reason), (Class::Undecided, Reason::UnsupportedFormat));
    assert_eq!(detachment.left(), [digest.to_string()]);
}
