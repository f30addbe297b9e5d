# shellcheck shell=bash
# Both formats of signatures, between us and cosign 3.1 and 2.6: each reads what the other wrote, and appends to it.
# With Rekor v1, whose promises the older format needs. Sourced by `run`.

USES+=([cosign_2]=cosign-2 [legacy_sign_2]=cosign-2 [legacy_attest_2]=cosign-2 [legacy_sign_3]=cosign [cosign_2_verify]=cosign-2
    [cosign_2_verify_bundle]=cosign-2)

cosign_2() { timeout 120 "${PEER[cosign-2]}" "$@"; }

# What cosign has to be told of a Sigstore of one's own, where the older format is concerned.
with_keys() {
    SIGSTORE_ROOT_FILE=$KIT_FULCIO_CHAIN SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=$KIT_CT_PUBLIC_KEY \
        SIGSTORE_REKOR_PUBLIC_KEY=$KIT_REKOR_V1_PUBLIC_KEY "$@"
}
legacy_sign_2() {
    with_keys cosign_2 sign --yes --new-bundle-format=false --fulcio-url "$KIT_FULCIO_URL" \
        --rekor-url "$KIT_REKOR_V1_URL" --identity-token "$TOKEN" "$@"
}
legacy_sign_3() {
    with_keys cosign sign --yes --new-bundle-format=false --use-signing-config=false --fulcio-url "$KIT_FULCIO_URL" \
        --rekor-url "$KIT_REKOR_V1_URL" --identity-token "$TOKEN" "$@"
}
legacy_attest_2() {
    with_keys cosign_2 attest --yes --new-bundle-format=false --fulcio-url "$KIT_FULCIO_URL" \
        --rekor-url "$KIT_REKOR_V1_URL" --identity-token "$TOKEN" "$@"
}
cosign_2_verify() { with_keys cosign_2 verify "$@"; }
cosign_2_verify_bundle() { cosign_2 verify --trusted-root "$KIT_TRUSTED_ROOT" "$@"; }

attest() { helm_sigstore attest --plain-http --trusted-root "$KIT_TRUSTED_ROOT" \
    --signing-config "$KIT_SIGNING_CONFIG" --identity-token "$TOKEN" "$@"; }
cosign_attest() { cosign attest --yes --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" \
    --identity-token "$TOKEN" "$@"; }
cosign_verify_attestation() { cosign verify-attestation --trusted-root "$KIT_TRUSTED_ROOT" "$@"; }
USES+=([cosign_attest]=cosign [cosign_verify_attestation]=cosign)

formats() {
    LOG=v1
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    local registry name peer
    for registry in "distribution distribution CNCF distribution 3 (fallback)" "olareg olareg olareg (referrers API)"; do
        read -r name peer PLACE <<<"$registry"
        NEEDS="$CHART_HELM $peer"
        if [ -n "${MISSING[$peer]:-}" ]; then
            REGISTRY=127.0.0.1:9
        else
            start_registry "$name" || { failed_before "$name" "did not start"; continue; }
        fi
        formats_in "$REGISTRY"
    done
    oci_1_1
    formats_everywhere "v1 formats"
}

# The older format as a referrer, cosign's experiment, alone: neither a bundle nor a .sig tag beside it.
oci_1_1() {
    local base image signer verifier
    SIGNER="helm-sigstore sign (all)" PLACE="olareg (referrers API)" NEEDS="$CHART_HELM"
    not_measured "OCI 1.1 .sig referrer" olareg "$CHART_HELM" && return
    start_registry olareg || { failed_before "olareg" "did not start"; return; }
    base=oci://$REGISTRY/oci-1-1 image=$REGISTRY/oci-1-1
    as_signer
    for signer in ours cosign cosign-2; do
        SIGNER="${TOOL[$signer]} (OCI 1.1 referrer)" NEEDS=$CHART_HELM
        [ "$signer" = ours ] || NEEDS="$NEEDS $signer"
        row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$base/$signer"
        DIGEST[web]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
        row "(signs)" signs_oci_1_1 "$signer" "$image/$signer/web" "${DIGEST[web]}"
        row -g '^alone$' "helm-sigstore tree: nothing else is there" alone_oci_1_1 "$base/$signer/web:1.4.2"
        row -g '\(signed: manifest\)' "helm-sigstore verify" verify "${TRUSTED[@]}" "$base/$signer/web:1.4.2"
        row -e 5 -g '^error: wrong signer' "helm-sigstore verify: wrong identity" verify "${STRANGER[@]}" "$base/$signer/web:1.4.2"
        row -g 'The code-signing certificate was verified' "cosign 3.1 verify --experimental-oci11" \
            cosign_verify "${TRUSTED[@]}" --experimental-oci11 "$image/$signer/web:1.4.2"
        row -g 'The code-signing certificate was verified' "cosign 2.6 verify --experimental-oci11" \
            cosign_2_verify "${TRUSTED[@]}" --experimental-oci11 "$image/$signer/web:1.4.2"
        row -e refused "cosign 3.1 verify, without the experiment" cosign_verify "${TRUSTED[@]}" "$image/$signer/web:1.4.2"
    done
    SIGNER="${TOOL[ours]} (OCI 1.1 referrer)" NEEDS="$CHART_HELM policy-tester"
    row "helm-sigstore policy export policy-controller" by_root policy-controller "$base/ours/web:1.4.2" "$WORK/oci-1-1.yaml"
    row -g 'Verification was successful' "policy-controller 0.15.1 --enable-oci11" \
        tester "$WORK/oci-1-1.yaml" "$image/ours/web@${DIGEST[web]}" --enable-oci11
    # It looks under the tag then, and says what it found there.
    row -e 1 -g 'no signatures found' "policy-controller 0.15.1 --enable-oci11: another identity" \
        tester_on "$WORK/oci-1-1.yaml" "$image/ours/web@${DIGEST[web]}" 's/^            subject: "/&x/' --enable-oci11
    row -e 1 -g 'no (matching )?signatures' "policy-controller 0.15.1, without the experiment" \
        tester "$WORK/oci-1-1.yaml" "$image/ours/web@${DIGEST[web]}"
    NEEDS=
}

# signs_oci_1_1 SIGNER IMAGE DIGEST
signs_oci_1_1() {
    case $1 in
        ours)
            # The same signature stands under the tag too: detach would take off both.
            # shellcheck disable=SC2046 # flags and digests, without spaces
            sign "oci://$2@$3" --signature-format all && deleted "$2" "${3/:/-}.sig" &&
                detach "oci://$2@$3" $(attached_to "oci://$2@$3" others)
            ;;
        cosign) COSIGN_EXPERIMENTAL=1 legacy_sign_3 --registry-referrers-mode oci-1-1 "$2@$3" ;;
        *) COSIGN_EXPERIMENTAL=1 legacy_sign_2 --registry-referrers-mode oci-1-1 "$2@$3" ;;
    esac
}

# attached_to REF all|others: a line each, as detach wants it; the others are what is no .sig as a referrer.
attached_to() {
    helm_sigstore tree --plain-http -o json "$1" | python3 -c '
import json, sys
for one in json.load(sys.stdin)["places"]:
    for attached in one["attached"]:
        ours = one["place"] == "referrers" and attached["artifactType"] == "application/vnd.dev.cosign.artifact.sig.v1+json"
        if sys.argv[1] == "all" or not ours:
            print("--digest", attached["entry"] or attached["digest"])' "$2"
}
# deleted HOST/REPOSITORY TAG
deleted() {
    python3 - "$@" <<'PYTHON'
import sys, urllib.request
host, repository = sys.argv[1].split("/", 1)
url = f"http://{host}/v2/{repository}/manifests/{sys.argv[2]}"
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, method="DELETE"))
PYTHON
}

alone_oci_1_1() {
    local all
    all=$(attached_to "$1" all) && [ "$(wc -l <<<"$all")" = 1 ] && [ -n "$all" ] && [ -z "$(attached_to "$1" others)" ] && echo alone
}

# Every format by who can write it, on every registry or those that are named, read by everybody: cells of the matrix.
# formats_everywhere LOG [NAME…]
formats_everywhere() {
    local registry name peer signer only=" ${*:2} "
    MATRIX=1 KIND=github LOG=$1
    as_signer
    for registry in "${REGISTRIES[@]}"; do
        read -r name peer PLACE <<<"$registry"
        [ $# -eq 1 ] || case $only in *" $name "*) ;; *) continue ;; esac
        SIGNER=all NEEDS=
        not_measured all "$peer" "$CHART_HELM" && continue
        start_registry "$name" || { failed_before "$name" "did not start"; continue; }
        for signer in ours:default ours:legacy ours:all cosign:legacy cosign-3.0:legacy cosign-2:legacy; do
            formats_cells "$name" "$REGISTRY" "${signer%:*}" "${signer#*:}"
        done
    done
    MATRIX='' NEEDS=
}

# formats_cells NAME HOST SIGNER FORMAT
formats_cells() {
    local name=$1 signer=$3 format=$4 image=$2/${LOG// /-}/$4/${3//./-}/web needs verifier
    SIGNER="${TOOL[$signer]} (${format/#default/default: both})"
    NEEDS=$CHART_HELM
    [ "$signer" = ours ] || NEEDS="$NEEDS $signer"
    push "$CHARTS/web-1.4.2.tgz" "oci://${image%/web}" >"$OUTPUT" 2>&1 || { failed_before "push" "$(tail -n 1 "$OUTPUT")"; return; }
    DIGEST[web]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    row "(signs)" format_signed_by "$signer" "$format" "$image@${DIGEST[web]}"
    [ "$LAST" = ok ] || return 0
    needs=$NEEDS
    for verifier in $MATRIX_TOOLS; do
        NEEDS=$needs
        [ "$verifier" = ours ] || NEEDS="$needs $verifier"
        row -g 'Verified:|certificate was verified' "${TOOL[$verifier]}" format_verified_by "$verifier" "$format" "$name" "$image:1.4.2"
    done
}

# format_signed_by TOOL FORMAT IMAGE@DIGEST
format_signed_by() {
    case $1 in
        ours) sign "oci://$3" $([ "$2" = default ] || echo "--signature-format $2") ;;
        *) with_keys tool "$1" sign --yes --new-bundle-format=false \
            $([ "$1" = cosign-2 ] || echo --use-signing-config=false) --fulcio-url "$KIT_FULCIO_URL" \
            --rekor-url "$KIT_REKOR_V1_URL" --identity-token "$TOKEN" "$3" ;;
    esac
}

# format_verified_by TOOL FORMAT REGISTRY IMAGE:TAG
format_verified_by() {
    case $1:$2:$3 in
        ours:legacy:*) verify "${TRUSTED[@]}" --accept legacy "oci://$4" ;;
        # Each of them is there, and each is good.
        ours:*) verify "${TRUSTED[@]}" --accept legacy "oci://$4" && verify "${TRUSTED[@]}" --accept bundle "oci://$4" ;;
        cosign-2:legacy:* | cosign-2:*:olareg-405) with_keys tool "$1" verify "${TRUSTED[@]}" "$4" ;;
        *) tool "$1" verify --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" "$4" ;;
    esac
}

# formats_in HOST
formats_in() {
    local base="oci://$1/formats" image=$1/formats chart needs=$NEEDS
    as_signer
    for chart in web api cache plain; do
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
        DIGEST[$chart]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    done

    SIGNER="helm-sigstore sign (both formats)"
    row -g '\(cosign tag\)$' "(signs)" sign "$base/web:1.4.2" -a build=42
    row -g 'The code-signing certificate was verified' "cosign 3.1 verify -a" \
        cosign_verify "${TRUSTED[@]}" -a build=42 "$image/web:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign 2.6 verify -a" \
        cosign_2_verify_bundle "${TRUSTED[@]}" -a build=42 "$image/web:1.4.2"
    row -e refused "cosign 3.1 verify -a: another value" \
        cosign_verify "${TRUSTED[@]}" -a build=43 "$image/web:1.4.2"
    row -g '^Format: legacy' "helm-sigstore verify --all" verify --all "${TRUSTED[@]}" "$base/web:1.4.2"

    SIGNER="helm-sigstore sign --signature-format legacy"
    row -g '\(cosign tag\)$' "(signs)" sign --signature-format legacy "$base/api:1.4.2" -a build=42
    legacy_read_by_all api -a build=42
    row -e refused -g 'no matching signatures|missing or incorrect annotation' "cosign 2.6 verify -a: another value" \
        cosign_2_verify "${TRUSTED[@]}" -a build=43 "$image/api:1.4.2"

    # Without it there is nothing to read.
    NEEDS="$needs cosign-2"
    SIGNER="cosign 2.6 sign"
    row "(signs)" legacy_sign_2 -a build=42 "$image/cache@${DIGEST[cache]}"
    legacy_read_by_all cache
    NEEDS=$needs
    SIGNER="cosign 3.1 sign --new-bundle-format=false"
    row "(signs)" legacy_sign_3 "$image/plain@${DIGEST[plain]}"
    legacy_read_by_all plain

    # Three identities under one tag, each by another program.
    NEEDS="$needs cosign-2"
    SIGNER="cosign 2.6, helm-sigstore, cosign 3.1 (one tag)"
    row "(helm-sigstore signs, as e-mail)" signed_as email sign --signature-format legacy "$base/cache:1.4.2"
    row "(cosign 3.1 signs, as GitLab)" signed_as gitlab legacy_sign_3 "$image/cache@${DIGEST[cache]}"
    row "three signatures" layers_of 3 "$image/cache" "${DIGEST[cache]}"
    row "helm-sigstore verify --min-signatures 3" verify --min-signatures 3 \
        --email "$KIT_IDENTITY_EMAIL" --issuer "$KIT_ISSUER_EMAIL" \
        --github acme/charts --github-issuer "$KIT_ISSUER_GITHUB" \
        --gitlab acme/charts --gitlab-issuer "$KIT_ISSUER_GITLAB" "$base/cache:1.4.2"
    legacy_read_by_all cache
    row -g 'The code-signing certificate was verified' "cosign 2.6 verify, ours" cosign_2_verify \
        --certificate-identity "$KIT_IDENTITY_EMAIL" --certificate-oidc-issuer "$KIT_ISSUER_EMAIL" "$image/cache:1.4.2"

    # Attestations, by either.
    NEEDS=$needs
    SIGNER="helm-sigstore attest"
    echo '{"spdxVersion": "SPDX-2.3", "name": "web"}' >"$WORK/sbom.json"
    row -g '^Attached: sha256:' "(attests)" attest "$base/web:1.4.2" --predicate "$WORK/sbom.json" --predicate-type spdx
    row -g '^Format: attestation|Predicate: https://spdx.dev/Document' "helm-sigstore verify --require-predicate" \
        verify "${TRUSTED[@]}" --require-predicate spdx "$base/web:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign 3.1 verify-attestation" \
        cosign_verify_attestation "${TRUSTED[@]}" --type spdx "$image/web:1.4.2"
    row -e refused "cosign 3.1 verify-attestation: another type" \
        cosign_verify_attestation "${TRUSTED[@]}" --type cyclonedx "$image/web:1.4.2"
    SIGNER="cosign 3.1 attest"
    row "(attests)" cosign_attest --predicate "$WORK/sbom.json" --type cyclonedx "$image/web@${DIGEST[web]}"
    row "helm-sigstore verify --require-predicate" \
        verify "${TRUSTED[@]}" --require-predicate cyclonedx --require-predicate spdx "$base/web:1.4.2"
    row -e 5 -g '^error: required attestation is missing' "helm-sigstore verify --require-predicate: none" \
        verify "${TRUSTED[@]}" --require-predicate vuln "$base/web:1.4.2"
    row -g '^Predicate: https://cyclonedx.org/bom' "helm-sigstore verify --predicate-type" \
        verify "${TRUSTED[@]}" --predicate-type cyclonedx "$base/web:1.4.2"

    NEEDS="$needs cosign-2"
    SIGNER="cosign 2.6 attest (.att)"
    row "(attests)" legacy_attest_2 --predicate "$WORK/sbom.json" --type https://example.com/built/v1 "$image/web@${DIGEST[web]}"
    row -g '^Predicate: https://example.com/built/v1' "helm-sigstore verify --predicate-type" \
        verify "${TRUSTED[@]}" --predicate-type https://example.com/built/v1 "$base/web:1.4.2"
    row "helm-sigstore verify --require-predicate" \
        verify "${TRUSTED[@]}" --require-predicate https://example.com/built/v1 "$base/web:1.4.2"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify --predicate-type: wrong identity" \
        verify "${STRANGER[@]}" --predicate-type https://example.com/built/v1 "$base/web:1.4.2"

    # A signature that was copied from another chart.
    SIGNER="cosign 2.6 sign, copied to another chart"
    row "(copied)" copied_signature "$1" "formats/cache" "${DIGEST[cache]}" "formats/copy" "$CHARTS/web-1.4.2.tgz"
    row -e 5 -g '^error: manifest not signed' "helm-sigstore verify" verify "${TRUSTED[@]}" "oci://$1/formats/copy/web:1.4.2"
    NEEDS=$needs
}

# What has no bundle beside it: legacy_read_by_all CHART ARGUMENT…
legacy_read_by_all() {
    local chart=$1
    shift
    row -g '\(signed: manifest\)' "helm-sigstore verify" verify "${TRUSTED[@]}" "$base/$chart:1.4.2"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify: wrong identity" verify "${STRANGER[@]}" "$base/$chart:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign 3.1 verify" \
        cosign_verify "${TRUSTED[@]}" "$@" "$image/$chart:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign 2.6 verify" \
        cosign_2_verify "${TRUSTED[@]}" "$@" "$image/$chart:1.4.2"
}

# layers_of COUNT HOST/REPOSITORY DIGEST: under the `.sig` tag, and as many in the config, which who appends reads.
layers_of() {
    python3 - "$@" <<'PYTHON'
import json, sys, urllib.parse, urllib.request
count, image, digest = sys.argv[1:]
host, repository = image.split("/", 1)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def get(path):
    request = urllib.request.Request(f"http://{host}/v2/{repository}/{path}",
                                     headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    return json.load(opener.open(request))
manifest = get("manifests/" + digest.replace(":", "-") + ".sig")
config = get("blobs/" + manifest["config"]["digest"])
digests = [layer["digest"] for layer in manifest["layers"]]
print(digests)
assert len(digests) == int(count)
assert config["rootfs"]["diff_ids"] == digests
PYTHON
}

# copied_signature HOST FROM DIGEST TO CHART: pushes the chart and puts the signature of another one beside it.
copied_signature() {
    push "$5" "oci://$1/$4" >"$WORK/copied" 2>&1 || { cat "$WORK/copied"; return 1; }
    python3 - "$1" "$2" "$3" "$4/web" "$(sed -n 's/^Digest: *//p' "$WORK/copied")" <<'PYTHON'
import json, sys, urllib.parse, urllib.request
host, source, digest, target, other = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
kind = "application/vnd.oci.image.manifest.v1+json"
def tag(digest): return digest.replace(":", "-") + ".sig"
def send(method, url, data=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return opener.open(urllib.request.Request(url, data=data, method=method, headers=headers))
base = f"http://{host}/v2"
raw = send("GET", f"{base}/{source}/manifests/{tag(digest)}", Accept=kind).read()
manifest = json.loads(raw)
for blob in [manifest["config"], *manifest["layers"]]:
    bytes = send("GET", f"{base}/{source}/blobs/{blob['digest']}").read()
    opened = send("POST", f"{base}/{target}/blobs/uploads/", data=b"")
    url = urllib.parse.urljoin(f"{base}/", opened.headers["Location"])
    url += ("&" if "?" in url else "?") + "digest=" + blob["digest"]
    send("PUT", url, data=bytes, Content_Type="application/octet-stream")
send("PUT", f"{base}/{target}/manifests/{tag(other)}", data=raw, Content_Type=kind)
PYTHON
}
