//! A person signs in in the browser: PKCE, state, nonce, and an address that survives what browsers do.

use std::io::Write;
use std::time::{Duration, Instant};

use helm_sigstore_kit::registry::{Action, Fault as RegistryFault};
use helm_sigstore_kit::sigstore::{Fault, IssuerKind, Service};

use crate::cli_support::Setting;
use crate::sign_in_support::{
    come_back, connect, get, on_a_terminal, parameter, person, send, sign_in, split, with_browser,
};
use crate::sign_support::{assert_hides, assert_nothing_public};
use crate::support::Ended;

/// Every JWT begins so.
#[track_caller]
fn hides_tokens(ended: &Ended) {
    assert_hides(ended, "eyJ");
}

#[test]
fn a_person_signs_in_in_the_browser_and_signs() {
    let (world, reference) = person();
    let ended = with_browser(&world, &["sign", &reference], 1, |url| {
        assert_eq!(parameter(url, "response_type"), "code");
        assert_eq!(parameter(url, "client_id"), "sigstore");
        assert_eq!(parameter(url, "scope"), "openid+email");
        assert_eq!(parameter(url, "code_challenge_method"), "S256");
        assert!(parameter(url, "redirect_uri").starts_with("http%3A%2F%2Flocalhost%3A"), "{url}");
        assert_ne!(parameter(url, "state"), parameter(url, "nonce"));
        let page = sign_in(url);
        assert_eq!(page.status, 200, "{}", page.text);
        assert!(page.text.contains("goes on as jane@example.com"), "{}", page.text);
        assert!(!page.text.contains("eyJ"), "{}", page.text);
    })
    .exits(0);
    hides_tokens(&ended);
    let issuer = world.sigstore.issuer_url(IssuerKind::Email);
    ended
        .says("A browser opens to sign in; if none does, open this address:")
        .says(&format!("{issuer}/auth?response_type=code"))
        .says(&format!("signing as jane@example.com (token from sign-in at {issuer})"))
        .prints("Signed by: jane@example.com\n");
}

#[test]
fn a_json_report_stays_one_document_when_somebody_signs_in() {
    let (world, reference) = person();
    let ended = with_browser(&world, &["sign", &reference, "-o", "json"], 1, |url| {
        sign_in(url);
    })
    .exits(0);
    hides_tokens(&ended);
    assert_eq!(ended.json()["verdict"], "signed");
}

#[test]
fn what_browsers_do_beside_coming_back_is_survived() {
    let (world, reference) = person();
    let ended = with_browser(&world, &["sign", &reference], 1, |url| {
        let back = come_back(url);
        let (authority, _) = split(&back);
        // Connections that nothing ever comes over, and one that dawdles.
        let _silent: Vec<_> = (0..8).map(|_| connect(authority)).collect();
        let mut slow = connect(authority);
        slow.write_all(b"GET /auth/callback?sta").unwrap();
        for (request, status) in [
            ("GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404"),
            ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404"),
            ("HEAD /auth/callback HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
            ("GET /auth/callback HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
            ("GET /auth/callback?code=x&state=guess HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
            ("GET http://%zz HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
            ("OPTIONS * HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
        ] {
            let answer = send(authority, request.as_bytes());
            assert!(answer.starts_with(status), "{request:?}: {answer}");
        }
        // A TLS hello, and a request without an end.
        assert_eq!(send(authority, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"), "");
        assert_eq!(send(authority, &[b'A'; 20 << 10]), "");
        let started = Instant::now();
        assert_eq!(get(&back).status, 200);
        assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
        drop(slow);
    });
    hides_tokens(&ended);
    ended.exits(0).prints("Signed by: jane@example.com\n");
}

#[test]
fn an_answer_with_another_state_or_of_another_issuer_is_not_used() {
    for fault in [Fault::WrongState, Fault::MixedUpIssuer] {
        let (world, reference) = person();
        world.sigstore.set_fault(fault.clone());
        let ended = with_browser(&world, &["sign", &reference], 1, |url| {
            for _ in 0..10 {
                let page = sign_in(url);
                assert_eq!(page.status, 400, "{}", page.text);
                assert!(page.text.contains("belongs to another sign-in"), "{}", page.text);
            }
        })
        .exits(2)
        .says("the sign-in was answered by somebody else");
        hides_tokens(&ended);
        let posts = world.sigstore.requests();
        assert!(posts.iter().all(|request| request.method != "POST"), "{fault:?}: {posts:#?}");
        assert_nothing_public(&world);
    }
}

#[test]
fn a_doubled_parameter_is_no_answer() {
    let (world, reference) = person();
    let ended = with_browser(&world, &["sign", &reference], 1, |url| {
        let back = come_back(url);
        assert_eq!(get(&format!("{back}&code=another")).status, 400);
        assert_eq!(get(&format!("{back}&state=another")).status, 400);
        assert_eq!(get(&format!("{back}&error=denied")).status, 400);
        assert_eq!(get(&back).status, 200);
    });
    ended.exits(0);
}

#[test]
fn a_person_who_says_no_signs_nothing_and_reads_so() {
    let (world, reference) = person();
    world.sigstore.set_fault(Fault::AccessDenied);
    with_browser(&world, &["sign", &reference], 1, |url| {
        let page = sign_in(url);
        assert!(page.text.contains("Not signed in"), "{}", page.text);
        assert!(page.text.contains("&lt;b&gt;no&lt;/b&gt;"), "{}", page.text);
    })
    .exits(2)
    .says("the issuer did not let you sign in")
    .says("access_denied: the user said");
    assert_nothing_public(&world);
}

#[test]
fn a_token_of_another_sign_in_or_issuer_is_refused_before_anybody_sees_it() {
    for (fault, words) in [
        (Fault::WrongTokenNonce, "the identity token is of another sign-in"),
        (Fault::WrongTokenIssuer, "the identity token is another issuer's"),
    ] {
        let (world, reference) = person();
        world.sigstore.set_fault(fault);
        let ended = with_browser(&world, &["sign", &reference], 1, move |url| {
            let page = sign_in(url);
            assert!(page.status == 400 && page.text.contains("Not signed in"), "{}", page.text);
        })
        .exits(2)
        .says(words);
        hides_tokens(&ended);
        assert_nothing_public(&world);
    }
}

#[test]
fn an_issuer_that_cannot_be_trusted_to_be_itself_is_not_visited() {
    for (fault, words) in [
        (Fault::AnotherIssuer, "it speaks for another issuer"),
        (Fault::NoPkce, "it does not know PKCE with S256"),
        (Fault::EndpointElsewhere, "169.254.169.254"),
        (Fault::Garbage(Service::Oidc), "no discovery document"),
        (Fault::Status(Service::Oidc, 404), "404"),
    ] {
        let (world, reference) = person();
        world.sigstore.set_fault(fault.clone());
        on_a_terminal(&world, &["sign", &reference]).exits(4).says("cannot sign in").says(words);
        assert!(!world.path("opened").exists(), "{fault:?}");
        assert_nothing_public(&world);
    }
}

#[test]
fn a_browser_that_does_not_open_is_told_and_the_address_still_works() {
    let (world, reference) = person();
    let browser = world.path("browser");
    let opened = world.path("opened").display().to_string();
    let script = format!("printf '%s' \"$1\" >{opened}.new && mv {opened}.new {opened}; exit 3");
    helm_sigstore_kit::program::write(&browser, &script);
    with_browser(&world, &["sign", &reference], 1, |url| {
        // The command has noticed by then.
        std::thread::sleep(Duration::from_millis(500));
        sign_in(url);
    })
    .exits(0)
    .says("The browser did not open")
    .says("exit status: 3");
}

#[test]
fn nobody_is_asked_to_sign_in_where_nobody_is() {
    let (mut world, reference) = person();
    for setting in [
        Setting::pipes(),
        Setting { stdin_is_terminal: false, ..Setting::terminal() },
        Setting { stderr_is_terminal: false, ..Setting::terminal() },
    ] {
        let ended = setting.run(&world, &["sign", &reference]).exits(2);
        ended
            .says("no identity token was given")
            .says("nobody can be asked: standard input or error is no terminal")
            .says("--identity-token FILE, or");
        let ended = setting.run(&world, &["sign", &reference, "--device"]).exits(2);
        ended.says("nobody is here to sign in").says("--identity-token FILE, or");
    }
    for job in ["CI", "JENKINS_URL", "TF_BUILD"] {
        world.environment.insert(job.into(), "true".into());
        on_a_terminal(&world, &["sign", &reference]).exits(2).says("no identity token was given");
        on_a_terminal(&world, &["sign", &reference, "--device"])
            .exits(2)
            .says(&format!("{job} is set: this is a job"));
        world.environment.remove(job);
    }
    assert_eq!(world.sigstore.request_count(Service::Oidc), 0);
    assert!(!world.path("opened").exists());
}

#[test]
fn a_token_that_is_there_goes_before_a_person_and_can_be_left_out() {
    let (mut world, reference) = person();
    let joe = helm_sigstore_kit::sigstore::Identity::email("joe@example.com");
    world.environment.insert("SIGSTORE_ID_TOKEN".into(), world.sigstore.token(&joe));
    on_a_terminal(&world, &["sign", &reference]).exits(0).prints("Signed by: joe@example.com\n");
    let words = ["sign", &reference, "--oidc-disable-ambient-providers"];
    with_browser(&world, &words, 1, |url| {
        sign_in(url);
    })
    .exits(0)
    .prints("Signed by: jane@example.com\n");
    Setting::pipes().run(&world, &words).exits(2).says("looked at --identity-token only");
}

#[test]
fn issuer_client_and_address_can_be_chosen() {
    let (world, reference) = person();
    let issuer = world.sigstore.issuer_url(IssuerKind::Uri);
    let words = [
        "sign",
        &reference,
        "--oidc-issuer",
        &issuer,
        "--oidc-redirect-url",
        "http://127.0.0.1/elsewhere",
    ];
    let at = issuer.clone();
    with_browser(&world, &words, 1, move |url| {
        assert!(url.starts_with(&format!("{at}/auth?")), "{url}");
        let back = come_back(url);
        assert!(back.starts_with("http://127.0.0.1:") && back.contains("/elsewhere?"), "{back}");
        assert_eq!(get(&back).status, 200);
    })
    .exits(0)
    .prints(&format!("Signed by: {issuer}/jane\n"));

    // The kit's certificate authority knows one client; that another one's token reached it is the point.
    with_browser(&world, &["sign", &reference, "--oidc-client-id", "acme"], 1, |url| {
        assert_eq!(parameter(url, "client_id"), "acme");
        sign_in(url);
    })
    .exits(2)
    .says("the certificate authority refused the identity token");

    for (flag, value) in [
        ("--oidc-issuer", "http://issuer.example"),
        ("--oidc-redirect-url", "http://issuer.example/x"),
    ] {
        on_a_terminal(&world, &["sign", &reference, flag, value]).exits(2).says(value);
    }
}

#[test]
fn one_sign_in_serves_several_charts_and_a_second_one_is_announced() {
    let (world, reference) = person();
    let other = world.push(&helm_sigstore_kit::chart::Chart::new("cache", "2.0.0"));
    let other = format!("{}@{}", world.repository("cache"), other.manifest_digest);
    let ended = with_browser(&world, &["sign", &reference, &other], 1, |url| {
        sign_in(url);
    })
    .exits(0);
    assert_eq!(ended.stderr.matches("open this address").count(), 1, "{}", ended.stderr);

    // The token runs out before the certificate is asked for.
    let (world, reference) = person();
    world.sigstore.set_fault(Fault::ShortLife);
    world.registry.fault(RegistryFault::once("/manifests/", Action::Delay(2500)));
    let ended = with_browser(&world, &["sign", &reference], 2, |url| {
        sign_in(url);
    });
    hides_tokens(&ended);
    ended.exits(0).says("sign in once more");
}
