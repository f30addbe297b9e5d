//! Where fuzzing begins: well-formed things and known traps, made here so that nothing binary is kept.

/// The seeds of a target.
pub(crate) fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "reference" => texts(REFERENCES),
        "manifest" => texts(MANIFESTS),
        "headers" => texts(HEADERS),
        "archive" => archives(),
        _ => Vec::new(),
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.replace("HEX", &"ab".repeat(32)).into_bytes()).collect()
}

const REFERENCES: &[&str] = &[
    "oci://[::1]:5000/acme/charts/web:1.3.0+build.5@sha256:HEX\n^1",
    "ghcr.io/acme/charts/web\n~1.3\n1.3.0_build.5\n1.10.0\nsha256-HEX.sig",
    "oci://localhost/a__b/c-d.e/web:latest",
    "https://jane:pw@ghcr.io/acme/web:1",
    "oci://r.io/acme\n1.4.2",
    "web-1.4.2.tgz",
    ">=1.2 <2 || 3.x - 4, !=1.5\n1.3.0\nv9.9.9\n1.5.0-rc.1",
    "oci://r.io/%61\n",
];

const MANIFESTS: &[&str] = &[
    r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:HEX","size":117},"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"sha256:HEX","size":4096},{"mediaType":"application/vnd.cncf.helm.chart.provenance.v1.prov","digest":"sha256:HEX","size":700}],"annotations":{"org.opencontainers.image.title":"web","org.opencontainers.image.version":"1.4.2"}}"#,
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:HEX","size":500,"artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","annotations":{"a":"\u0000"},"x":[1e99,null]},{"digest":"sha512:00"}],"annotations":null}"#,
    r#"{"schemaVersion":2,"artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:HEX","size":5}}"#,
    r#"{"manifests":[],"layers":[]}"#,
    r#"{"layers":[],"layers":[]}"#,
    r#"{"name":"web","version":"1.4.2","apiVersion":"v2","dependencies":[{"name":"a","version":"1","repository":"oci://r.io"}]}"#,
    "{\"manifests\":[{}],\"manifests\":[{}]}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

const HEADERS: &[&str] = &[
    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push",error="insufficient_scope""#,
    "Basic realm=\"a \\\"b\\\", c\", bearer REALM=https://x/t , scope = \"s\"\nNegotiate YWJj==",
    "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
    "<p>; rel=prev, <n>; title=\"a\" ; REL=\"x next\"",
    "Bearer realm=\"unfinished\n<unfinished; rel=next",
    "=,\"\n, ,,\n<>;rel=next",
];

/// Tars and gzip'ed trash; [`super::entry::archive`] packs the tars.
fn archives() -> Vec<Vec<u8>> {
    let yaml = b"apiVersion: v2\nname: web\nversion: 1.4.2\n";
    let file = |name: &str, kind: u8, data: &[u8]| entry(name, kind, data);
    let end = vec![0; 1024];
    let chart =
        [file("web/Chart.yaml", b'0', yaml), file("web/values.yaml", b'0', b"a: 1\n")].concat();
    let pax = file("PaxHeaders/x", b'x', b"23 path=web/Chart.yaml\n");
    let long = file("././@LongLink", b'L', b"web/templates/a.yaml\0");
    let twice = [chart.clone(), file("web/Chart.yaml", b'0', yaml)].concat();
    let aliases = b"apiVersion: v2\nname: &a web\nversion: 1.4.2\nkeywords: [*a, *a]\ndependencies: [{name: a}]\n";
    vec![
        [chart.clone(), end.clone()].concat(),
        [pax, file("x", b'0', yaml), end.clone()].concat(),
        [chart.clone(), long, file("x", b'0', b""), end.clone()].concat(),
        [twice, end.clone()].concat(),
        [chart.clone(), file("web/../../x", b'0', b"x"), end.clone()].concat(),
        [chart, file("web/link", b'2', b""), end.clone()].concat(),
        [file("web/", b'5', b""), file("web/Chart.yaml", b'0', aliases), end].concat(),
        aliases.to_vec(),
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x03\0\0\0\0\0\0\0\0\0".to_vec(),
    ]
}

/// One entry of a tar: the header, whose checksum is put right later, and the padded contents.
fn entry(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let mut block = vec![0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", data.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"000000\0 ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    block.extend_from_slice(data);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}
