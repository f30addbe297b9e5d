# shellcheck shell=bash
# What `doctor` says of cosign is what cosign says: the command that it names is run, and what it says is refused is
# refused. And a fallback index by cosign 2.6 is mended by `doctor --repair`, which Kyverno and cosign read before and after.
# Sourced by `run`.

doctor_in_json() { helm_sigstore doctor --plain-http --trusted-root "$KIT_TRUSTED_ROOT" -o json "$@"; }

doctor() {
    EXPORTS=$WORK/exports
    mkdir -p "$EXPORTS"
    local registry name peer
    for LOG in v1 v2; do
        start_kit "$LOG" || { failed_before "kit with log $LOG" "did not start"; continue; }
        as_signer
        for registry in "olareg olareg olareg (referrers API)" "distribution distribution CNCF distribution 3 (fallback)"; do
            read -r name peer PLACE <<<"$registry"
            SIGNER=- NEEDS=
            not_measured doctor "$peer" "$CHART_HELM" && continue
            start_registry "$name" || { failed_before "$name" "did not start"; continue; }
            NEEDS="$CHART_HELM $peer"
            doctor_in "$REGISTRY"
        done
        NEEDS=
    done
}

# doctor_in HOST
doctor_in() {
    local base=oci://$1/doctor-$LOG image=$1/doctor-$LOG chart format
    for chart in web api cache plain; do
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
        DIGEST[$chart]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    done
    SIGNER="nobody"
    row "doctor: cosign refuses it, and so does cosign" doctor_agrees cosign-3 refuses "$image/plain"
    row "doctor: cosign 2.6 refuses it, and so does it" doctor_agrees cosign-2.6 refuses "$image/plain"
    if [ "$LOG" = v2 ]; then
        SIGNER="helm-sigstore sign (bundle)"
        row -g '^Attached: sha256:' "(signs)" sign "$base/web:1.4.2"
        row "doctor: cosign 3.1 accepts it, and does" doctor_agrees cosign-3 accepts "$image/web"
        row "doctor: cosign 2.6 accepts it with a flag, and does" doctor_agrees cosign-2.6 depends "$image/web"
        row -e refused "cosign 2.6 verify, without that flag" cosign_2_verify_bundle "${TRUSTED[@]}" "$image/web:1.4.2"
        return
    fi
    for format in web:bundle api:legacy cache:both; do
        chart=${format%:*} format=${format#*:}
        SIGNER="helm-sigstore sign ($format)"
        row -g '^Attached: sha256:' "(signs)" sign "$base/$chart:1.4.2" --signature-format "$format"
        row "doctor: cosign 3.1 accepts it, and does" doctor_agrees cosign-3 accepts "$image/$chart"
        row "doctor: cosign 2.6 accepts it, and does" doctor_agrees cosign-2.6 accepts "$image/$chart"
    done
    SIGNER="helm-sigstore sign (legacy), and a bundle of another chart"
    row "(attached)" other_bundle "$1" "doctor-$LOG/api" "${DIGEST[api]}" "$PLACE" "doctor-$LOG/web" "${DIGEST[web]}"
    row "doctor: cosign 3.1 refuses it, and does" doctor_agrees cosign-3 refuses "$image/api"
    row "doctor: cosign 2.6 refuses it, and does" doctor_agrees cosign-2.6 refuses "$image/api"
    SIGNER="helm-sigstore sign (legacy), and what is no bundle"
    row -g '^Digest: sha256:' "push of api" push "$CHARTS/api-1.4.2.tgz" "$base/junk"
    DIGEST[junk]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    row -g '^Attached: sha256:' "(signs)" sign "$base/junk/api:1.4.2" --signature-format legacy
    row "(attached)" other_bundle "$1" "doctor-$LOG/junk/api" "${DIGEST[junk]}" "$PLACE"
    row "doctor: cosign 3.1 accepts it, and does" doctor_agrees cosign-3 accepts "$image/junk/api"
    row "doctor: cosign 2.6 accepts it, and does" doctor_agrees cosign-2.6 accepts "$image/junk/api"
    case $PLACE in *fallback*) doctor_repairs "$base" "$image" ;; esac
}

# doctor_agrees CONSUMER ACCEPTANCE IMAGE: what is said of it; then the command that is named for it, or where it
# refuses the usual one.
doctor_agrees() {
    local consumer=$1 acceptance=$2 image=$3 code=0 said=()
    doctor_in_json "oci://$image:1.4.2" --for "$consumer" >"$WORK/doctor.json" || true
    python3 - "$WORK/doctor.json" "$acceptance" "$KIT_TRUSTED_ROOT" >"$WORK/command" <<'PYTHON' || return 1
import json, shlex, sys
[said] = json.load(open(sys.argv[1]))["consumers"]
print(said, file=sys.stderr)
assert said["acceptance"] == sys.argv[2], said
words = shlex.split(said["command"] or "")[1:]
print("\n".join(sys.argv[3] if word == "trusted_root.json" else word for word in words))
PYTHON
    mapfile -t said <"$WORK/command"
    [ "$acceptance" != refuses ] || said=(verify --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" "$image:1.4.2")
    case $consumer:$acceptance:${said[*]} in
        cosign-3:*) cosign "${said[@]}" || code=$? ;;
        # Without a trusted root it is told the keys.
        *:refuses:* | *--trusted-root*) cosign_2 "${said[@]}" || code=$? ;;
        *) with_keys cosign_2 "${said[@]}" || code=$? ;;
    esac
    case $acceptance in
        refuses) [ "$code" -gt 0 ] && [ "$code" -lt 124 ] ;;
        *) [ "$code" -eq 0 ] ;;
    esac
}
USES+=([doctor_agrees]=cosign-2)

# A bundle of cosign 2.6, which types what it lists after the empty config.
doctor_repairs() {
    local base=$1 image=$2 file=$EXPORTS/kyverno-repair.yaml object=$EXPORTS/kyverno-repair.json needs=$NEEDS
    SIGNER="cosign 2.6 sign (bundle)"
    NEEDS="$needs cosign-2"
    row "(signs)" cosign_2 sign --yes --new-bundle-format --trusted-root "$KIT_TRUSTED_ROOT" \
        --fulcio-url "$KIT_FULCIO_URL" --rekor-url "$KIT_REKOR_V1_URL" --identity-token "$TOKEN" "$image/plain@${DIGEST[plain]}"
    row "doctor: cosign 3.1 accepts it, and does" doctor_agrees cosign-3 accepts "$image/plain"
    row -e 5 -g '"field":"artifactType"' "doctor: Kyverno (SigstoreBundle) refuses it" \
        doctor_in_json "$base/plain:1.4.2" --for kyverno-bundle
    start_kits_tuf || { failed_before "kit tuf" "did not start"; return; }
    SIGNER="cosign 2.6 sign (bundle)" NEEDS="$needs cosign-2"
    row "helm-sigstore policy export kyverno" exported kyverno "$base/plain:1.4.2" "$file" --instance "consumers-$LOG"
    source_object "$base/plain" "$object"
    row -g 'pass: 1, fail: 0' "Kyverno 1.19.0, before" kyverno_apply "$file" "$object"
    row -g '"field":"artifactType"' "helm-sigstore doctor --repair" \
        doctor_in_json "$base/plain:1.4.2" --for kyverno-bundle --repair
    row -g 'pass: 1, fail: 0' "Kyverno 1.19.0, after" kyverno_apply "$file" "$object"
    row -g '"faults":\[\],"attached":\[\]' "helm-sigstore doctor --repair: nothing is left" \
        doctor_in_json "$base/plain:1.4.2" --for kyverno-bundle --repair
    row "doctor: cosign 3.1 accepts it, and does" doctor_agrees cosign-3 accepts "$image/plain"
    NEEDS=$needs
}

# other_bundle HOST REPOSITORY DIGEST PLACE [FROM DIGEST]: attaches the bundle of another chart, or what only has the type
# of a bundle.
other_bundle() {
    python3 - "$@" <<'PYTHON'
import hashlib, json, sys, urllib.parse, urllib.request
host, repository, digest, place, *source = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
kind, index = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
bundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
def of(bytes): return "sha256:" + hashlib.sha256(bytes).hexdigest()
def send(method, url, data=None, type="application/octet-stream"):
    headers = {"Content-Type": type, "Accept": ", ".join([kind, index])}
    return opener.open(urllib.request.Request(url, data=data, method=method, headers=headers))
def listed(base, digest):
    path = f"manifests/{digest.replace(':', '-')}" if "fallback" in place else f"referrers/{digest}"
    return json.load(send("GET", f"{base}/{path}"))["manifests"]
base = f"http://{host}/v2/{repository}"
content = b"{ }"
if source:
    other = f"http://{host}/v2/{source[0]}"
    [entry] = listed(other, source[1])
    [layer] = json.load(send("GET", f"{other}/manifests/{entry['digest']}"))["layers"]
    content = send("GET", f"{other}/blobs/{layer['digest']}").read()
subject = send("GET", f"{base}/manifests/{digest}").read()
for blob in [b"{}", content]:
    opened = send("POST", f"{base}/blobs/uploads/", data=b"")
    url = urllib.parse.urljoin(f"http://{host}/", opened.headers["Location"])
    send("PUT", url + ("&" if "?" in url else "?") + "digest=" + of(blob), data=blob)
manifest = json.dumps({
    "schemaVersion": 2, "mediaType": kind, "artifactType": bundle,
    "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": of(b"{}"), "size": 2},
    "layers": [{"mediaType": bundle, "digest": of(content), "size": len(content)}],
    "subject": {"mediaType": kind, "digest": digest, "size": len(subject)},
}).encode()
send("PUT", f"{base}/manifests/{of(manifest)}", data=manifest, type=kind)
if "fallback" in place:
    entry = {"mediaType": kind, "digest": of(manifest), "size": len(manifest), "artifactType": bundle}
    document = json.dumps({"schemaVersion": 2, "mediaType": index, "manifests": [entry]}).encode()
    send("PUT", f"{base}/manifests/{digest.replace(':', '-')}", data=document, type=index)
PYTHON
}
