//! A registry, a Sigstore, a directory and the command line: everything that a behaviour needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use helm_sigstore::cli::{self, Environment, Process};
use helm_sigstore_kit::chart::Chart;
use helm_sigstore_kit::registry::{Options as RegistryOptions, Pushed, Registry};
use helm_sigstore_kit::sigstore::{Identity, IssuerKind, Options as SigstoreOptions, Sigstore};

/// The workflow that signs unless a test says otherwise.
pub(crate) const WORKFLOW: &str = "acme/charts/.github/workflows/release.yml@refs/heads/main";

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: u8,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The one JSON document on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?} ({})", self.stdout, self.stderr))
    }

    /// Insists on an exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: u8) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Insists on words on standard error.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "no {words:?} in stderr: {}", self.stderr);
        self
    }

    /// Insists on words on standard output.
    #[track_caller]
    pub(crate) fn prints(self, words: &str) -> Self {
        assert!(self.stdout.contains(words), "no {words:?} in stdout: {}", self.stdout);
        self
    }
}

/// One user with a registry and a Sigstore.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) sigstore: Sigstore,
    directory: tempfile::TempDir,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) clock: fn() -> jiff::Timestamp,
}

impl World {
    /// A registry with the referrers API, and the public-good shape of Sigstore (Rekor v1, timestamps).
    pub(crate) fn new() -> Self {
        Self::with(RegistryOptions::default(), SigstoreOptions::default())
    }

    /// A registry without the referrers API.
    pub(crate) fn with_fallback_registry() -> Self {
        Self::with(RegistryOptions::fallback(), SigstoreOptions::default())
    }

    pub(crate) fn with(registry: RegistryOptions, sigstore: SigstoreOptions) -> Self {
        let registry = Registry::start(registry);
        let sigstore = Sigstore::start(sigstore);
        let directory = tempfile::tempdir().unwrap();
        sigstore.write_files(directory.path()).unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let environment = [
            ("HELM_SIGSTORE_TRUSTED_ROOT", path("trusted_root.json")),
            ("HELM_SIGSTORE_SIGNING_CONFIG", path("signing_config.json")),
            ("HELM_SIGSTORE_PLAIN_HTTP", "true".to_owned()),
            // Most tests are about bundles, and count what they take; `legacy_sign` is about the rest.
            ("HELM_SIGSTORE_SIGNATURE_FORMAT", "bundle".to_owned()),
            ("HOME", path("home")),
            // A test that runs on a machine of Google's is no workload of it.
            ("NO_GCE_CHECK", "true".to_owned()),
            ("SIGSTORE_ID_TOKEN", sigstore.token(&Identity::github(WORKFLOW))),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let environment = environment.into();
        let clock = jiff::Timestamp::now;
        Self { registry, sigstore, directory, environment, stdin: Vec::new(), clock }
    }

    /// A path in the test's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The test's own directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `path` as an argument.
    pub(crate) fn argument(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// `oci://HOST/charts/NAME`.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("oci://{}/charts/{name}", self.registry.host())
    }

    /// `oci://HOST/charts`, the target of `helm push`.
    pub(crate) fn target(&self) -> String {
        format!("oci://{}/charts", self.registry.host())
    }

    /// Pushes a chart as Helm does, to `charts/NAME`.
    pub(crate) fn push(&self, chart: &Chart) -> Pushed {
        self.registry.push_chart(&format!("charts/{}", chart.name()), chart)
    }

    /// Pushes `web` 1.4.2 and answers its reference.
    pub(crate) fn push_web(&self) -> (String, Pushed) {
        let pushed = self.push(&Chart::new("web", "1.4.2"));
        (format!("{}:1.4.2", self.repository("web")), pushed)
    }

    /// Pushes and signs `web` 1.4.2, forgets the requests that took, and answers its reference.
    #[track_caller]
    pub(crate) fn signed_web(&self) -> (String, Pushed) {
        let (reference, pushed) = self.push_web();
        self.run(&["sign", &reference]).exits(0);
        self.registry.reset_requests();
        self.sigstore.reset_requests();
        (reference, pushed)
    }

    /// Runs the command line in this process, in nobody's environment but the test's.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut stdin = self.stdin.as_slice();
        let code = cli::run(Process {
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            environment: Environment::new(self.environment.clone()),
            executable: || "helm-sigstore".to_owned(),
            stdin: &mut stdin,
            stdout: &mut stdout,
            stderr: &mut stderr,
            stdin_is_terminal: false,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            clock: self.clock,
        });
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { code, stdout: text(stdout), stderr: text(stderr) }
    }

    /// The two flags that name the usual signer.
    pub(crate) fn signer(&self) -> [String; 4] {
        [
            "--certificate-identity".to_owned(),
            format!("https://github.com/{WORKFLOW}"),
            "--certificate-oidc-issuer".to_owned(),
            self.sigstore.issuer_url(IssuerKind::GitHub),
        ]
    }

    /// Runs `verify` with `arguments` and the usual signer.
    pub(crate) fn verify(&self, arguments: &[&str]) -> Ended {
        let signer = self.signer();
        let mut words = vec!["verify"];
        words.extend(arguments);
        words.extend(signer.iter().map(String::as_str));
        self.run(&words)
    }

    /// Runs `verify -o json` with `arguments` and the usual signer; answers the first result.
    #[track_caller]
    pub(crate) fn verdict(&self, arguments: &[&str]) -> serde_json::Value {
        let mut words = vec!["-o", "json"];
        words.extend(arguments);
        let ended = self.verify(&words);
        let document = ended.json();
        assert_eq!(document["exitCode"], ended.code);
        document["results"][0].clone()
    }
}
