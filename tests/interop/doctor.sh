# shellcheck shell=bash
# What `doctor` says of cosign is what cosign says: the command that it names is run, and what it says is refused is
# refused. The same of Kyverno's ClusterPolicies, by its CLI. And a fallback index by cosign 2.6 is mended by `doctor
# --repair`, which Kyverno and cosign read before and after. Sourced by `run`.

doctor_in_json() { helm_sigstore doctor --plain-http --trusted-root "$KIT_TRUSTED_ROOT" -o json "$@"; }

doctor() {
    EXPORTS=$WORK/exports
    mkdir -p "$EXPORTS"
    KYVERNO_TRUSTS=
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
    local base=oci://$1/doctor-$LOG image=$1/doctor-$LOG chart format older bundles
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
        kyverno_trusts "$base"
        row "doctor: Kyverno (SigstoreBundle) accepts it, and does" kyverno_agrees SigstoreBundle accepts "$image/web"
        return
    fi
    kyverno_trusts "$base"
    SIGNER="nobody"
    row "doctor: Kyverno (Cosign) refuses it, and does" kyverno_agrees Cosign refuses "$image/plain"
    row "doctor: Kyverno (SigstoreBundle) refuses it, and does" kyverno_agrees SigstoreBundle refuses "$image/plain"
    for format in web:bundle api:legacy cache:both; do
        chart=${format%:*} format=${format#*:}
        SIGNER="helm-sigstore sign ($format)"
        row -g '^Attached: sha256:' "(signs)" sign "$base/$chart:1.4.2" --signature-format "$format"
        row "doctor: cosign 3.1 accepts it, and does" doctor_agrees cosign-3 accepts "$image/$chart"
        row "doctor: cosign 2.6 accepts it, and does" doctor_agrees cosign-2.6 accepts "$image/$chart"
        older=accepts bundles=accepts
        [ "$format" != bundle ] || older=refuses
        [ "$format" != legacy ] || bundles=refuses
        row "doctor: Sveltos $older it, and so does its library" sveltos_agrees "$older" "$image/$chart"
        row "doctor: Kyverno (Cosign) $older it, and does" kyverno_agrees Cosign "$older" "$image/$chart"
        row "doctor: Kyverno (SigstoreBundle) $bundles it, and does" kyverno_agrees SigstoreBundle "$bundles" "$image/$chart"
    done
    for format in Cosign SigstoreBundle; do
        row -e 1 -g 'pass: 0, fail: [1-9]' "Kyverno 1.19.0, ClusterPolicy ($format): another identity" \
            kyverno_cluster "$format" "$image/cache" x
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
    case $PLACE in *API*) doctor_of_bad_bundles "$1" ;; esac
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

# Sveltos itself needs a cluster. By identity it asks cosign's library for signatures in the older format, as a referrer or
# under the tag, and so does cosign with these flags.
# sveltos_agrees ACCEPTANCE IMAGE
sveltos_agrees() {
    local code=0
    doctor_in_json "oci://$2:1.4.2" --for sveltos >"$WORK/doctor.json" || true
    said_of "$1" || return 1
    with_keys cosign verify --new-bundle-format=false --experimental-oci11 "${TRUSTED[@]}" "$2:1.4.2" || code=$?
    case $1 in
        refuses) [ "$code" -gt 0 ] && [ "$code" -lt 124 ] ;;
        *) [ "$code" -eq 0 ] ;;
    esac
}
USES+=([sveltos_agrees]=cosign)

# said_of ACCEPTANCE: what `doctor` has just said of the one that it was asked about is that.
said_of() {
    python3 -c 'import json, sys
[said] = json.load(open(sys.argv[1]))["consumers"]
print(said)
assert said["acceptance"] == sys.argv[2], said' "$WORK/doctor.json" "$1"
}

# --- Kyverno's ClusterPolicy, by its CLI, on a Pod whose image is the chart.

# Its ImageValidatingPolicy is told a TUF repository, and what that leaves in Kyverno's cache is what a ClusterPolicy of
# type SigstoreBundle trusts, which cannot be told another.
kyverno_trusts() {
    local file=$EXPORTS/kyverno-trust.yaml object=$EXPORTS/kyverno-trust.json needs=$NEEDS place=$PLACE
    [ "$KYVERNO_TRUSTS" != "$LOG" ] || return 0
    KYVERNO_TRUSTS=$LOG
    start_kits_tuf || { failed_before "kit tuf" "did not start"; return; }
    NEEDS=$needs PLACE=$place SIGNER="helm-sigstore sign (bundle)"
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$1/trust"
    row -g '^Attached: sha256:' "(signs)" sign "$1/trust/web:1.4.2" --signature-format bundle
    row "helm-sigstore policy export kyverno" by_instance kyverno "$1/trust/web:1.4.2" "$file"
    source_object "$1/trust/web" "$object"
    row -g 'pass: 1, fail: 0' "Kyverno 1.19.0" kyverno_apply "$file" "$object"
}

# kyverno_cluster TYPE IMAGE PREFIX: the verdict of a ClusterPolicy of that type on a Pod; the prefix makes another identity.
kyverno_cluster() {
    local file=$EXPORTS/cluster
    python3 - "$1" "$2:1.4.2" "$3$IDENTITY" "$ISSUER" "$KIT_FULCIO_CHAIN" "$KIT_REKOR_V1_PUBLIC_KEY" "$KIT_CT_PUBLIC_KEY" "$file" <<'PYTHON' || return 1
import json, sys
type, image, subject, issuer, *files, name = sys.argv[1:]
roots, rekor, ct = (open(file).read() for file in files)
# A log that has a name is enough for it to take the policy; nobody asks there.
keyless = {"subject": subject, "issuer": issuer, "rekor": {"url": "http://127.0.0.1:9"}}
if type == "Cosign":
    keyless |= {"roots": roots, "rekor": {"url": "http://127.0.0.1:9", "pubkey": rekor}, "ctlog": {"pubkey": ct}}
policy = {
    "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "chart"},
    "spec": {"webhookTimeoutSeconds": 30, "rules": [{
        "name": "signed", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "verifyImages": [{
            "type": type, "imageReferences": [image.rsplit(":", 1)[0] + "*"], "failureAction": "Enforce",
            "mutateDigest": False, "verifyDigest": False, "required": True, "useCache": False,
            "imageRegistryCredentials": {"allowInsecureRegistry": True},
            "attestors": [{"entries": [{"keyless": keyless}]}]}]}]}}
pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "chart", "namespace": "default"},
       "spec": {"containers": [{"name": "chart", "image": image}]}}
for kind, document in (("policy", policy), ("pod", pod)):
    json.dump(document, open(f"{name}-{kind}.yaml", "w"))
PYTHON
    XDG_CONFIG_HOME=$WORK/kyverno HOME=$WORK/kyverno timeout 120 "${PEER[kyverno]}" apply "$file-policy.yaml" \
        -r "$file-pod.yaml" --registry --remove-color
}
USES+=([kyverno_cluster]=kyverno [kyverno_agrees]=kyverno)

# kyverno_agrees TYPE ACCEPTANCE IMAGE: what is said of a ClusterPolicy of that type; then the policy.
kyverno_agrees() {
    local consumer=kyverno-cosign code=0
    [ "$1" = Cosign ] || consumer=kyverno-bundle
    doctor_in_json "oci://$3:1.4.2" --for "$consumer" >"$WORK/doctor.json" || true
    said_of "$2" || return 1
    kyverno_cluster "$1" "$3" "" >"$WORK/kyverno-said" 2>&1 || code=$?
    cat "$WORK/kyverno-said"
    case $2 in
        refuses) [ "$code" -eq 1 ] && grep -Eq 'pass: 0, fail: [1-9]' "$WORK/kyverno-said" ;;
        *) [ "$code" -eq 0 ] && grep -Eq 'pass: [1-9], fail: 0' "$WORK/kyverno-said" ;;
    esac
}

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
    row "doctor: Kyverno (SigstoreBundle) refuses it, and does" kyverno_agrees SigstoreBundle refuses "$image/plain"
    row "helm-sigstore policy export kyverno" exported kyverno "$base/plain:1.4.2" "$file" --instance "consumers-$LOG"
    source_object "$base/plain" "$object"
    row -g 'pass: 1, fail: 0' "Kyverno 1.19.0, before" kyverno_apply "$file" "$object"
    row -g '"field":"artifactType"' "helm-sigstore doctor --repair" \
        doctor_in_json "$base/plain:1.4.2" --for kyverno-bundle --repair
    row "doctor: Kyverno (SigstoreBundle) accepts it then, and does" kyverno_agrees SigstoreBundle accepts "$image/plain"
    row -g 'pass: 1, fail: 0' "Kyverno 1.19.0, after" kyverno_apply "$file" "$object"
    row -g '"faults":\[\],"attached":\[\]' "helm-sigstore doctor --repair: nothing is left" \
        doctor_in_json "$base/plain:1.4.2" --for kyverno-bundle --repair
    row "doctor: cosign 3.1 accepts it, and does" doctor_agrees cosign-3 accepts "$image/plain"
    NEEDS=$needs
}

# A bundle of another chart among good ones Kyverno passes over; at one that it cannot read it ends. The list of a
# referrers API is the registry's own, so that one more is one more.
doctor_of_bad_bundles() {
    local image=$1/doctor-$LOG
    SIGNER="helm-sigstore sign (bundle), and a bundle of another chart"
    row "(attached)" other_bundle "$1" "doctor-$LOG/web" "${DIGEST[web]}" "$PLACE" "doctor-$LOG/cache" "${DIGEST[cache]}"
    row "doctor: cosign 3.1 accepts it, and does" doctor_agrees cosign-3 accepts "$image/web"
    row "doctor: Kyverno (SigstoreBundle) accepts it, and does" kyverno_agrees SigstoreBundle accepts "$image/web"
    SIGNER="helm-sigstore sign (bundle), and what is no bundle"
    row "(attached)" other_bundle "$1" "doctor-$LOG/web" "${DIGEST[web]}" "$PLACE"
    row "doctor: cosign 3.1 accepts it, and does" doctor_agrees cosign-3 accepts "$image/web"
    row "doctor: Kyverno (SigstoreBundle) refuses it, and does" kyverno_agrees SigstoreBundle refuses "$image/web"
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
