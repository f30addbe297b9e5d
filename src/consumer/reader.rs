//! Those who read signatures of charts besides us, and at which version that is known of them.

/// Who reads signatures of charts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// cosign 2.6.
    Cosign2,
    /// cosign 3.
    Cosign3,
    /// Flux since it reads bundles.
    Flux,
    /// Flux before that.
    OlderFlux,
    /// Sveltos.
    Sveltos,
    /// Kyverno's `ClusterPolicy` with `type: Cosign`.
    KyvernoCosign,
    /// Kyverno's `ClusterPolicy` with `type: SigstoreBundle`.
    KyvernoBundle,
    /// Kyverno's `ImageValidatingPolicy`.
    KyvernoImage,
    /// Sigstore's policy-controller.
    PolicyController,
    /// Ratify.
    Ratify,
    /// Connaisseur.
    Connaisseur,
    /// Kubewarden, on sigstore-rs.
    Kubewarden,
    /// Harbor.
    Harbor,
    /// zot.
    Zot,
    /// Artifact Hub.
    ArtifactHub,
    /// GitHub's command line.
    Gh,
    /// hauler.
    Hauler,
}

impl Reader {
    /// All of them, in the order in which they are told of.
    pub const ALL: [Self; 17] = [
        Self::Cosign2,
        Self::Cosign3,
        Self::Flux,
        Self::OlderFlux,
        Self::Sveltos,
        Self::KyvernoCosign,
        Self::KyvernoBundle,
        Self::KyvernoImage,
        Self::PolicyController,
        Self::Ratify,
        Self::Connaisseur,
        Self::Kubewarden,
        Self::Harbor,
        Self::Zot,
        Self::ArtifactHub,
        Self::Gh,
        Self::Hauler,
    ];

    /// The name for flags and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosign2 => "cosign-2.6",
            Self::Cosign3 => "cosign-3",
            Self::Flux => "flux",
            Self::OlderFlux => "flux-older",
            Self::Sveltos => "sveltos",
            Self::KyvernoCosign => "kyverno-cosign",
            Self::KyvernoBundle => "kyverno-bundle",
            Self::KyvernoImage => "kyverno-image",
            Self::PolicyController => "policy-controller",
            Self::Ratify => "ratify",
            Self::Connaisseur => "connaisseur",
            Self::Kubewarden => "kubewarden",
            Self::Harbor => "harbor",
            Self::Zot => "zot",
            Self::ArtifactHub => "artifact-hub",
            Self::Gh => "gh",
            Self::Hauler => "hauler",
        }
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cosign2 => "cosign 2.6",
            Self::Cosign3 => "cosign 3",
            Self::Flux => "Flux",
            Self::OlderFlux => "older Flux",
            Self::Sveltos => "Sveltos",
            Self::KyvernoCosign => "Kyverno ClusterPolicy (Cosign)",
            Self::KyvernoBundle => "Kyverno ClusterPolicy (SigstoreBundle)",
            Self::KyvernoImage => "Kyverno ImageValidatingPolicy",
            Self::PolicyController => "policy-controller",
            Self::Ratify => "Ratify",
            Self::Connaisseur => "Connaisseur",
            Self::Kubewarden => "Kubewarden",
            Self::Harbor => "Harbor",
            Self::Zot => "zot",
            Self::ArtifactHub => "Artifact Hub",
            Self::Gh => "gh attestation verify",
            Self::Hauler => "hauler",
        }
    }

    /// At which version this is known, and how.
    pub fn evidence(self) -> &'static str {
        match self {
            Self::Cosign2 => "measured with 2.6.4",
            Self::Cosign3 => "measured with 3.1.3",
            Self::Flux => "measured with source-controller 1.9.1",
            Self::OlderFlux => "read in source-controller with cosign 2's library",
            Self::Sveltos => "read in addon-controller 1.12.0",
            Self::KyvernoCosign | Self::KyvernoBundle | Self::KyvernoImage => {
                "measured with Kyverno CLI 1.19.0"
            }
            Self::PolicyController => "measured with the tester 0.15.1",
            Self::Ratify => "read in Ratify v2 of 2026-08",
            Self::Connaisseur => "read in Connaisseur of 2026-05",
            Self::Kubewarden => "read in sigstore-rs 0.14.0 and adm-controller of 2026",
            Self::Harbor => "read in Harbor of 2026-08",
            Self::Zot => "read in zot of 2026-08",
            Self::ArtifactHub => "read in Artifact Hub of 2026-05",
            Self::Gh => "read in gh of 2024-10; attestations measured with 2.83.2",
            Self::Hauler => "read in hauler of 2026-08",
        }
    }
}
