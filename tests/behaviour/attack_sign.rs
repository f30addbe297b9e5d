//! What somebody who may push, but not sign, gets signed.

use helm_sigstore_kit::chart::Chart;

use crate::support::World;

/// A provenance file as Helm writes it, around the digest of `chart`.
fn provenance(chart: &Chart) -> String {
    format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: web\n\n...\nfiles:\n  {}: {}\n-----BEGIN PGP SIGNATURE-----\n\nwsBc\n-----END PGP SIGNATURE-----\n",
        chart.file_name(),
        helm_sigstore_kit::registry::digest_of(&chart.tgz()),
    )
}

#[test]
fn a_foreign_manifest_in_place_of_the_provenance_is_not_signed() {
    // Its digest would become a subject, and whoever accepts any subject (cosign does) would take the
    // foreign manifest for signed.
    let world = World::new();
    let evil = world.registry.push_chart("charts/evil", &Chart::new("evil", "6.6.6"));
    let chart = Chart::new("web", "1.4.2");
    let file = chart.write_to(world.directory()).unwrap().display().to_string();
    world.push(&chart.provenance(evil.manifest.clone()));
    let ended = world.run(&["sign", &file, "--repository", &world.target()]);
    assert_eq!(ended.code, 5, "{}{}", ended.stdout, ended.stderr);
    assert!(!world.sigstore.requests().iter().any(|request| request.path.contains("signingCert")));
}

#[test]
fn a_provenance_of_another_chart_is_not_signed() {
    let world = World::new();
    let other = provenance(&Chart::new("web", "1.4.1"));
    world.push(&Chart::new("web", "1.4.2").provenance(other));
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(5).says("provenance");
}

#[test]
fn a_chart_with_its_provenance_is_signed() {
    let world = World::new();
    let chart = Chart::new("web", "1.4.2");
    let text = provenance(&chart);
    world.push(&chart.provenance(text));
    let reference = format!("{}:1.4.2", world.repository("web"));
    world.run(&["sign", &reference]).exits(0);
    world.verify(&[&reference]).exits(0).prints("manifest, chart and provenance");
}
