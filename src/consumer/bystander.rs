//! Those who install, copy or deploy charts, and look at no Sigstore signature of them.

/// One of them. Whatever hangs at a chart makes no difference to it, so that somebody else has to verify before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bystander {
    /// The name for flags and scripts.
    pub name: &'static str,
    /// Other names that `--for` takes.
    pub aliases: &'static [&'static str],
    /// The name for people.
    pub title: &'static str,
    /// What it can check instead.
    pub checks: Option<&'static str>,
    /// At which version this is known, and how.
    pub evidence: &'static str,
}

impl Bystander {
    /// All of them, in the order in which they are told of.
    pub const ALL: [Self; 12] = [
        Self {
            name: "helm",
            aliases: &[],
            title: "Helm",
            checks: Some("the PGP signature in a .prov file, with --verify"),
            evidence: "measured with 3.22.0 and 4.3.1",
        },
        Self {
            name: "argo-cd",
            aliases: &["argo", "argocd"],
            title: "Argo CD",
            checks: Some("GnuPG signatures of git commits"),
            evidence: "read in Argo CD of 2026-08",
        },
        Self {
            name: "fleet",
            aliases: &[],
            title: "Fleet",
            checks: None,
            evidence: "read in Fleet of 2026-08",
        },
        Self {
            name: "rancher",
            aliases: &[],
            title: "Rancher",
            checks: None,
            evidence: "asked for in rancher#16665 and #29057",
        },
        Self {
            name: "k3s",
            aliases: &["rke2"],
            title: "k3s's Helm controller",
            checks: None,
            evidence: "read in helm-controller of 2026-07",
        },
        Self {
            name: "helmfile",
            aliases: &[],
            title: "helmfile",
            checks: Some("the PGP signature in a .prov file, by Helm, with verify: true"),
            evidence: "read in helmfile of 2026-08",
        },
        Self {
            name: "terraform",
            aliases: &["opentofu"],
            title: "Terraform's Helm provider",
            checks: Some("the PGP signature in a .prov file, with verify and a keyring"),
            evidence: "said in opentelemetry-helm-charts#2167",
        },
        Self {
            name: "helm-secrets",
            aliases: &[],
            title: "helm-secrets",
            checks: None,
            evidence: "read in mid 2026",
        },
        Self {
            name: "zarf",
            aliases: &[],
            title: "Zarf",
            checks: None,
            evidence: "read in Zarf of 2026",
        },
        Self {
            name: "vendir",
            aliases: &["carvel"],
            title: "vendir",
            checks: Some("GnuPG signatures of git tags"),
            evidence: "read in vendir of 2024-03",
        },
        Self {
            name: "imgpkg",
            aliases: &[],
            title: "imgpkg",
            checks: None,
            evidence: "read in imgpkg of 2024-03",
        },
        Self {
            name: "notation",
            aliases: &[],
            title: "notation",
            checks: Some("signatures of its own kind"),
            evidence: "read in notation 1.3.2",
        },
    ];

    /// Whether that is its name, or one of its other names.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}
