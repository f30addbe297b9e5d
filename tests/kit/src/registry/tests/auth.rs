//! Basic and bearer authentication.

use super::*;

#[test]
fn basic_authentication_wants_the_right_password() {
    let auth = Auth::Basic { user: "u".to_owned(), password: "p".to_owned() };
    let registry = Registry::start(Options { auth, ..Options::default() });
    web(&registry);
    let refused = get(&registry, "/v2/");
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Basic realm=\"kit\""))
    );
    for (credentials, status) in [("u:p", 200), ("u:q", 401)] {
        let line = format!(
            "authorization: Basic {}",
            base64::engine::general_purpose::STANDARD.encode(credentials)
        );
        let reply = send(&registry, "GET", "/v2/charts/web/manifests/1.4.2", &[&line], b"");
        assert_eq!(reply.status, status);
    }
    let seen: Vec<_> = registry.requests().iter().map(|request| request.authorization).collect();
    assert_eq!(seen, [false, true, true]);
    assert!(!format!("{:?}", registry.requests()).contains("dTpw"), "the log holds no secret");
}

fn token(
    registry: &Registry,
    scope: &str,
    credentials: Option<&str>,
    field: &str,
) -> Option<String> {
    let line = credentials.map(|credentials| {
        format!(
            "authorization: Basic {}",
            base64::engine::general_purpose::STANDARD.encode(credentials)
        )
    });
    let headers: Vec<_> = line.as_deref().into_iter().collect();
    let reply = send(registry, "GET", &format!("/token?service=kit&scope={scope}"), &headers, b"");
    (reply.status == 200).then(|| reply.json()[field].as_str().unwrap().to_owned())
}

#[test]
fn bearer_tokens_open_what_their_scope_names() {
    let bearer =
        Bearer { anonymous_pull: true, field: TokenField::AccessToken, ..Bearer::new("u", "p") };
    let registry = Registry::start(Options { auth: Auth::Bearer(bearer), ..Options::default() });
    web(&registry);
    let path = "/v2/charts/web/manifests/1.4.2";
    let challenge = get(&registry, path);
    let expected = format!(
        "Bearer realm=\"{}/token\",service=\"kit\",scope=\"repository:charts/web:pull\"",
        registry.origin()
    );
    assert_eq!(
        (challenge.status, challenge.header("www-authenticate")),
        (401, Some(expected.as_str()))
    );

    let with = |method: &str, path: &str, token: &str| {
        send(&registry, method, path, &[&format!("authorization: Bearer {token}")], b"")
    };
    let anonymous =
        token(&registry, "repository:charts/web:pull,push", None, "access_token").unwrap();
    assert_eq!(with("GET", path, &anonymous).status, 200);
    let refused = with("POST", "/v2/charts/web/blobs/uploads/", &anonymous);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().ends_with("error=\"insufficient_scope\""));

    let push =
        token(&registry, "repository:charts/web:pull,push", Some("u:p"), "access_token").unwrap();
    assert_eq!(with("POST", "/v2/charts/web/blobs/uploads/", &push).status, 202);
    assert_eq!(
        with("GET", "/v2/charts/other/manifests/1", &push).status,
        401,
        "another repository"
    );
    assert_eq!(with("GET", "/v2/", &push).status, 200);
    assert_eq!(
        token(&registry, "repository:charts/web:pull", Some("u:wrong"), "access_token"),
        None
    );

    assert_eq!(registry.requests().len() - registry.registry_requests_count(), 3);
    registry.revoke_tokens();
    assert_eq!(with("GET", path, &push).status, 401);
}

#[test]
fn bearer_tokens_wear_out_and_come_from_refresh_tokens() {
    let refresh_token = Some("r".to_owned());
    let bearer = Bearer { uses: Some(1), refresh_token, ..Bearer::new("u", "p") };
    let registry = Registry::start(Options { auth: Auth::Bearer(bearer), ..Options::default() });
    web(&registry);
    let form =
        "grant_type=refresh_token&refresh_token=r&service=kit&scope=repository:charts/web:pull";
    let reply = send(&registry, "POST", "/token", &[], form.as_bytes());
    let line = format!("authorization: Bearer {}", reply.json()["token"].as_str().unwrap());
    let get = || send(&registry, "GET", "/v2/charts/web/tags/list", &[&line], b"").status;
    assert_eq!((get(), get()), (200, 401));
    let wrong = form.replace("refresh_token=r&", "refresh_token=x&");
    assert_eq!(send(&registry, "POST", "/token", &[], wrong.as_bytes()).status, 401);
}

#[test]
fn one_registry_can_be_the_realm_of_another() {
    let own = Bearer::new("u", "p");
    let realm = Registry::start(Options { auth: Auth::Bearer(own.clone()), ..Options::default() });
    let other = Bearer { realm: Some(format!("{}/token", realm.origin())), ..own };
    let registry = Registry::start(Options { auth: Auth::Bearer(other), ..Options::default() });
    web(&registry);
    let token = token(&realm, "repository:charts/web:pull", Some("u:p"), "token").unwrap();
    let line = format!("authorization: Bearer {token}");
    assert_eq!(send(&registry, "GET", "/v2/charts/web/tags/list", &[&line], b"").status, 200);
}

#[test]
fn a_content_network_hands_out_blobs_without_credentials_at_the_port_that_was_asked() {
    let bearer = Bearer { anonymous_pull: true, ..Bearer::new("u", "p") };
    let registry = Registry::start(Options {
        auth: Auth::Bearer(bearer),
        content_network: true,
        ..Options::fallback()
    });
    web(&registry);
    let challenge = get(&registry, MANIFEST);
    let realm = format!("Bearer realm=\"http://{}/token\"", registry.host());
    assert!(challenge.header("www-authenticate").unwrap().starts_with(&realm), "{realm}");
    let token = token(&registry, "repository:charts/web:pull", None, "token").unwrap();
    let line = format!("authorization: Bearer {token}");
    let manifest = send(&registry, "GET", MANIFEST, &[&line], b"").json();
    let blob =
        format!("/v2/charts/web/blobs/{}", manifest["layers"][0]["digest"].as_str().unwrap());
    assert_eq!(get(&registry, &blob).status, 401);
    let sent = send(&registry, "GET", &blob, &[&line], b"");
    let port = registry.host().rsplit_once(':').unwrap().1.to_owned();
    let to = format!("http://localhost:{port}/cdn{blob}");
    assert_eq!((sent.status, sent.header("location")), (307, Some(to.as_str())));
    let bytes = get(&registry, &format!("/cdn{blob}"));
    assert_eq!(bytes.status, 200);
    assert!(!bytes.body.is_empty());
    // Nothing else is there without a token.
    assert_eq!(get(&registry, &format!("/cdn{MANIFEST}")).status, 404);
}
