# shellcheck shell=bash
# What `push` stores beside what `helm push` stores: the same manifest, to the byte. Sourced by `run`.

# Charts whose Chart.yaml holds everything that Helm copies, and what YAML 1.1 reads in its own way.
push_charts() {
    PUSHED=$WORK/pushed
    mkdir -p "$PUSHED/full/templates" "$PUSHED/odd/templates" "$PUSHED/old/templates"
    cat >"$PUSHED/full/Chart.yaml" <<'YAML'
apiVersion: v2
name: full
version: 1.4.2+build.5
appVersion: 1.10
type: application
home: https://acme.example/?a=b&c=<d>
icon: https://acme.example/icon.png
kubeVersion: ">=1.22.0-0"
deprecated: true
description: >-
  Two lines,
  one of them with 	tabs, ümläuts, an emoji 🚀 and a combining é
sources: [https://a.example, https://b.example]
keywords: [one, 2, no, 0777, 1.50, on]
annotations:
  artifacthub.io/changes: |
    - kind: added
      description: "<&>"
  org.opencontainers.image.title: mine
  org.opencontainers.image.licenses: Apache-2.0
  number: 7
  nothing:
maintainers:
- name: Zoë
  email: z@example.com
  url: https://z.example
- name: Bo
- email: only@example.com
YAML
    cat >"$PUSHED/odd/Chart.yaml" <<'YAML'
apiVersion: v2
name: odd
version: "0.1.0"
description: "zero\u200bwidth, bell\a, nbsp\u00a0, line\nbreak, private \ue000"
tags: "a,b"
condition: odd.enabled
dependencies:
- name: full
  version: ^1
  repository: ""
  condition: full.enabled
  enabled: true
  tags: [a, b]
  import-values: [data, {child: c, parent: p, third: 3}]
  alias: other
YAML
    cat >"$PUSHED/old/Chart.yaml" <<'YAML'
name: old
version: 0.1.0
engine: gotpl
YAML
    printf 'dependencies:\n- name: x\n  version: 1.0.0\n  repository: https://x.example\n' >"$PUSHED/old/requirements.yaml"
    mkdir -p "$PUSHED/old/charts/x"
    printf 'apiVersion: v1\nname: x\nversion: 1.0.0\n' >"$PUSHED/old/charts/x/Chart.yaml"
    python3 - "$PUSHED" <<'PYTHON'
import os, sys, tarfile
# Not by `helm package`, which would clean Chart.yaml first.
for name, version in (("full", "1.4.2+build.5"), ("odd", "0.1.0"), ("old", "0.1.0")):
    base = f"{sys.argv[1]}/{name}"
    with tarfile.open(f"{sys.argv[1]}/{name}-{version}.tgz", "w:gz", format=tarfile.USTAR_FORMAT) as archive:
        for folder, _, files in sorted(os.walk(base)):
            for file in sorted(files):
                path = f"{folder}/{file}"
                archive.add(path, f"{name}/{os.path.relpath(path, base)}")
PYTHON
    printf 'not read by a push\n' >"$PUSHED/full-1.4.2+build.5.tgz.prov"
}

# same_manifest FILE NAME TAG: what both stored, compared byte by byte.
same_manifest() {
    python3 - "$KIT_REGISTRY" "$2" "$3" <<'PYTHON'
import sys, urllib.request
host, name, tag = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def manifest(prefix):
    url = f"http://{host}/v2/{prefix}/{name}/manifests/{tag}"
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    return opener.open(urllib.request.Request(url, headers=accept), timeout=10).read()
theirs, ours = manifest("theirs"), manifest("ours")
if theirs != ours:
    sys.exit(f"helm: {theirs.decode()}\nours: {ours.decode()}")
print("same manifest")
PYTHON
}

push_by_both() {
    helm push --plain-http "$1" "oci://$KIT_REGISTRY/theirs" &&
        helm_sigstore push --plain-http "$1" "oci://$KIT_REGISTRY/ours" --force && same_manifest "$@"
}

pushes() {
    local helm zone chart
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    push_charts
    SIGNER=-
    LOG=-
    for helm in helm-4 helm-3; do
        PLACE=$helm
        NEEDS=$helm
        as_helm "$helm" "$WORK/homes/push-$helm"
        for zone in UTC Europe/Berlin America/St_Johns; do
            export TZ=$zone
            for chart in "full 1.4.2+build.5 1.4.2_build.5" "odd 0.1.0 0.1.0" "old 0.1.0 0.1.0"; do
                # shellcheck disable=SC2086 # three words
                set -- $chart
                touch "$PUSHED/$1-$2.tgz"
                row -g '^same manifest$' "helm sigstore push $1, $zone" push_by_both "$PUSHED/$1-$2.tgz" "$1" "$3"
            done
            unset TZ
        done
        row "helm pull of what was pushed" helm pull --plain-http "oci://$KIT_REGISTRY/ours/full" --version 1.4.2+build.5 \
            --destination "$HELM_DATA_HOME"
        LOG=v1
        as_signer
        row -g '^Signed: ' "helm push 2>&1 | helm sigstore sign -" sign_what_helm_printed
        LOG=-
    done
}

sign_what_helm_printed() {
    helm push --plain-http "$PUSHED/odd-0.1.0.tgz" "oci://$KIT_REGISTRY/piped" 2>&1 | helm_sigstore sign - --plain-http \
        --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" --identity-token "$TOKEN"
}
