# shellcheck shell=bash
# Attestations of every kind that has a name: what we attest is read by cosign 3.1, 3.0 and 2.6, by sigstore-go and by
# GitHub's gh, and what each cosign attests is read by us. (Its `spdx`,
# as opposed to `spdxjson`, is text, of which cosign itself makes no bundle.) Sourced by `run`.

USES+=([attests_by]=cosign [gh_attestation]=gh [go_attestation]=sigstore-go)

# What is attested, by cosign's name or a URI.
declare -A PREDICATES=(
    [spdxjson]='{"spdxVersion": "SPDX-2.3", "name": "web"}'
    [cyclonedx]='{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}'
    [slsaprovenance]='{"builder": {"id": "https://acme.example/builder"}, "buildType": "https://acme.example/build"}'
    [slsaprovenance1]='{"buildDefinition": {"buildType": "https://acme.example/build"}, "runDetails": {"builder": {"id": "https://acme.example/builder"}}}'
    [vuln]='{"scanner": {"uri": "https://acme.example/scanner", "result": {}}, "metadata": {"scanStartedOn": "2026-11-29T00:00:00Z", "scanFinishedOn": "2026-11-29T00:00:01Z"}}'
    [openvex]='{"@context": "https://openvex.dev/ns", "@id": "https://acme.example/vex", "author": "acme", "version": 1, "statements": []}'
    [link]='{"_type": "link", "name": "build", "command": ["helm", "package"], "materials": {}, "products": {}, "byproducts": {}, "environment": {}}'
    [custom]='approved by the release team'
    [https://acme.example/approved/v1]='{"approved": true}'
)
PREDICATE_NAMES="spdxjson cyclonedx slsaprovenance slsaprovenance1 vuln openvex link custom https://acme.example/approved/v1"
# The cosigns, and what each attests: cosign 3.0 and 2.6 log DSSE entries, which Rekor v2 does not take.
declare -A ATTESTERS=([v1]="cosign cosign-3.0 cosign-2" [v2]="cosign")

attestations() {
    local type registry name peer
    mkdir -p "$WORK/predicates"
    for type in $PREDICATE_NAMES; do echo "${PREDICATES[$type]}" >"$WORK/predicates/${type//[:\/]/_}"; done
    for LOG in v1 v2; do
        start_kit "$LOG" || { failed_before "kit with log $LOG" "did not start"; continue; }
        as_signer
        for registry in "${CONSUMER_REGISTRIES[@]}"; do
            read -r name peer PLACE <<<"$registry"
            SIGNER=- NEEDS=
            not_measured "attest and verify" "$peer" "$CHART_HELM" && continue
            start_registry "$name" || { failed_before "$name" "did not start"; continue; }
            NEEDS="$CHART_HELM $peer"
            attestations_in "$REGISTRY"
        done
        NEEDS=
    done
}

# attests_by TOOL TYPE IMAGE
attests_by() {
    tool "$1" attest --yes --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" \
        --identity-token "$TOKEN" $([ "$1" != cosign-2 ] || echo --new-bundle-format) \
        --predicate "$WORK/predicates/${2//[:\/]/_}" --type "$2" "$3"
}

# attestation_read_by TOOL TYPE IMAGE
attestation_read_by() {
    tool "$1" verify-attestation --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" --type "$2" \
        $([ "$1" != cosign-2 ] || echo --new-bundle-format) \
        $(case $1:$LOG in cosign-2:v2*) echo --use-signed-timestamps ;; esac) "$3"
}

# attestations_in HOST
attestations_in() {
    local base="oci://$1/attestations-$LOG" image=$1/attestations-$LOG needs=$NEEDS type signer verifier
    SIGNER=-
    for signer in web api cache plain; do
        row -g '^Digest: sha256:' "push of $signer" push "$CHARTS/$signer-1.4.2.tgz" "$base"
        DIGEST[$signer]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    done
    SIGNER="helm-sigstore attest"
    row -g '^Attached: sha256:' "(signs)" sign "$base/web:1.4.2" --signature-format bundle
    for type in $PREDICATE_NAMES; do
        row -g '^Attached: sha256:' "(attests $type)" \
            attest "$base/web:1.4.2" --predicate "$WORK/predicates/${type//[:\/]/_}" --predicate-type "$type"
    done
    for type in $PREDICATE_NAMES; do
        for verifier in cosign cosign-3.0 cosign-2; do
            NEEDS="$needs $verifier"
            row -g 'certificate was verified' "${TOOL[$verifier]} verify-attestation $type" \
                attestation_read_by "$verifier" "$type" "$image/web:1.4.2"
        done
        NEEDS=$needs
        row -g '^Verified:' "helm-sigstore verify --require-predicate $type" \
            verify "${TRUSTED[@]}" --require-predicate "$type" "$base/web:1.4.2"
    done
    for verifier in cosign cosign-3.0 cosign-2; do
        NEEDS="$needs $verifier"
        row -e refused "${TOOL[$verifier]} verify-attestation: a kind that nobody attested" \
            attestation_read_by "$verifier" https://acme.example/other/v1 "$image/web:1.4.2"
    done
    NEEDS=$needs
    attestation_files "$base/web:1.4.2" "$image/web" "$WORK/attestation-$LOG-$1.json"

    local charts=(api cache plain) n=0
    for signer in ${ATTESTERS[$LOG]}; do
        local chart=${charts[n++]}
        SIGNER="${TOOL[$signer]} attest"
        NEEDS="$needs $signer"
        row -g '^Attached: sha256:' "(helm-sigstore signs)" sign "$base/$chart:1.4.2" --signature-format bundle
        for type in $PREDICATE_NAMES; do
            row "(attests $type)" attests_by "$signer" "$type" "$image/$chart@${DIGEST[$chart]}"
        done
        for type in $PREDICATE_NAMES; do
            row -g '^Verified:' "helm-sigstore verify --predicate-type $type" \
                verify "${TRUSTED[@]}" --predicate-type "$type" "$base/$chart:1.4.2"
        done
        row -g '^Verified:' "helm-sigstore verify --require-predicate, all of them" \
            verify "${TRUSTED[@]}" "${REQUIRED[@]}" "$base/$chart:1.4.2"
        row -e 5 "helm-sigstore verify --require-predicate: a kind that nobody attested" \
            verify "${TRUSTED[@]}" --require-predicate https://acme.example/other/v1 "$base/$chart:1.4.2"
        row -e 5 -g '^error: wrong signer' "helm-sigstore verify --predicate-type: wrong identity" \
            verify "${STRANGER[@]}" --predicate-type spdxjson "$base/$chart:1.4.2"
    done
    NEEDS=$needs
}
REQUIRED=()
for type in $PREDICATE_NAMES; do REQUIRED+=(--require-predicate "$type"); done

# What we attested, as gh and sigstore-go see it: attestation_files REF IMAGE BUNDLE.
attestation_files() {
    local file=$CHARTS/web-1.4.2.tgz slsa=https://slsa.dev/provenance/v1
    SIGNER="helm-sigstore attest (slsaprovenance1)"
    row -g '^Verified:' "helm-sigstore verify --bundle-out" \
        verify "${TRUSTED[@]}" --predicate-type slsaprovenance1 --bundle-out "$3" "$1"
    [ "$LAST" = ok ] || return 0
    row "sigstore-go verify-bundle: the manifest" go_attestation "$3" "${TRUSTED[@]}" "${DIGEST[web]}"
    row "sigstore-go verify-bundle: the file" go_attestation "$3" "${TRUSTED[@]}" "$file"
    row -e refused "sigstore-go verify-bundle: wrong identity" go_attestation "$3" "${STRANGER[@]}" "$file"
    row -e refused "sigstore-go verify-bundle: tampered" go_attestation "$3" "${TRUSTED[@]}" "$CHARTS/tampered/web-1.4.2.tgz"
    row -g 'verificationResult' "gh attestation verify --bundle FILE" gh_attestation "$file" --repo acme/charts --bundle "$3"
    row -g 'verificationResult' "gh attestation verify --bundle-from-oci" \
        gh_attestation "oci://$2:1.4.2" --repo acme/charts --bundle-from-oci
    row -g 'verificationResult' "gh attestation verify --predicate-type (the signature)" \
        gh_attestation "oci://$2:1.4.2" --repo acme/charts --bundle-from-oci --predicate-type "$PREDICATE"
    row -e refused -g 'verifying with issuer|SAN|Owner' "gh attestation verify: another owner" \
        gh_attestation "$file" --owner mallory --bundle "$3"
    row -e refused -g 'predicate type' "gh attestation verify: another predicate type" \
        gh_attestation "$file" --repo acme/charts --bundle "$3" --predicate-type https://spdx.dev/Document
    row -e refused "gh attestation verify: tampered" \
        gh_attestation "$CHARTS/tampered/web-1.4.2.tgz" --repo acme/charts --bundle "$3"
}

go_attestation() { tool sigstore-go verify-bundle --bundle "$1" "${@:2:$#-2}" --trusted-root "$KIT_TRUSTED_ROOT" "${@: -1}"; }

# It wants a trusted root a line, and a token for its own API, which it does not ask here.
gh_attestation() {
    python3 -c 'import json, sys; print(json.dumps(json.load(open(sys.argv[1]))))' "$KIT_TRUSTED_ROOT" >"$WORK/gh-root.jsonl"
    HOME=$WORK/gh GH_CONFIG_DIR=$WORK/gh GH_TOKEN=none GH_NO_UPDATE_NOTIFIER=1 NO_COLOR=1 \
        timeout 120 "${PEER[gh]}" attestation verify "$@" \
        --custom-trusted-root "$WORK/gh-root.jsonl" --cert-oidc-issuer "$ISSUER" --format json
}
