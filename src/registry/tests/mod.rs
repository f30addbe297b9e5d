//! The client against registries that answer as real ones do, and as hostile ones would.

mod auth;
mod lists;
mod push;
mod reading;

use super::*;
use crate::chart::{Digest, INDEX, MANIFEST};
use crate::error::{Class, Reason};
use crate::net::testing::{Reply, Seen, Server, client, client_with, head, reply};

fn registry(credentials: Credentials, change: impl FnOnce(&mut Settings)) -> Registry {
    let mut settings = Settings { plain_http: true, ..Settings::default() };
    change(&mut settings);
    Registry::new(client(), credentials, settings)
}

fn open(server: &Server) -> Repository {
    registry(Credentials::anonymous(), |_| {})
        .repository(&server.host(), "acme/web", Access::Pull)
        .unwrap()
}

fn with(server: &Server, credentials: Credentials, access: Access) -> Repository {
    registry(credentials, |_| {}).repository(&server.host(), "acme/web", access).unwrap()
}

fn user() -> Credentials {
    let given = Some(("user".to_owned(), Secret::new("pass")));
    Credentials::new(Sources { given, ..Sources::default() })
}
