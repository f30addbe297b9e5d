# shellcheck shell=bash
# Who can verify what whom signed: our program, cosign and sigstore-python, on a registry with the referrers API and
# on one without, with both generations of the log. Sourced by `run`.

PREDICATE=https://sigstore.dev/cosign/sign/v1

declare -A DIGEST # chart -> digest of its manifest in the registry at hand
USES+=([cosign]=cosign [cosign_sign]=cosign [cosign_verify]=cosign [cosign_verify_file]=cosign
    [sigstore_python]=sigstore-python [sigstore_verify]=sigstore-python)

# Who signs, as the commands want to hear it; set by as_signer.
as_signer() {
    IDENTITY=$KIT_IDENTITY_GITHUB
    ISSUER=$KIT_ISSUER_GITHUB
    TOKEN=$KIT_TOKEN_GITHUB
    TRUSTED=(--certificate-identity "$IDENTITY" --certificate-oidc-issuer "$ISSUER")
    STRANGER=(--certificate-identity mallory@example.com --certificate-oidc-issuer "$ISSUER")
}

sign() { helm_sigstore sign --plain-http --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" \
    --identity-token "$TOKEN" "$@"; }
verify() { helm_sigstore verify --plain-http --trusted-root "$KIT_TRUSTED_ROOT" "$@"; }
cosign_verify() { cosign verify --trusted-root "$KIT_TRUSTED_ROOT" "$@"; }
cosign_verify_file() { cosign verify-blob-attestation --trusted-root "$KIT_TRUSTED_ROOT" --type "$PREDICATE" "$@"; }
cosign_sign() { cosign sign --yes --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" \
    --identity-token "$TOKEN" "$@"; }
sigstore_verify() {
    local bundle=$1 identity=$2 file=$3
    sigstore_python --trust-config "$KIT_TRUST_CONFIG" verify identity --offline --bundle "$bundle" \
        --cert-identity "$identity" --cert-oidc-issuer "$ISSUER" "$file"
}
conformance_verify() { conformance verify-bundle --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" "$@"; }

# One registry and one log: signatures_in NAME HOST.
signatures_in() {
    local host=$2 base="oci://$2/charts-$LOG" chart
    PLACE=$1
    as_signer
    for chart in web api cache plain; do
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
        DIGEST[$chart]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    done

    local file=$CHARTS/web-1.4.2.tgz bundle=$WORK/$LOG-$host.web.sigstore.json
    SIGNER="helm-sigstore sign FILE"
    row -g '^Attached: sha256:' "(signs)" sign "$file" --repository "$base" --bundle-out "$bundle"
    signed_by_us web "$base" "$host" "$bundle"
    refusals_of_ours "$base" "$host" "$bundle"

    bundle=$WORK/$LOG-$host.api.sigstore.json
    SIGNER="helm-sigstore sign REF"
    row -g '^Attached: sha256:' "(signs)" sign "$base/api:1.4.2" --bundle-out "$bundle"
    signed_by_us api "$base" "$host" "$bundle"

    SIGNER="cosign sign"
    NEEDS="$NEEDS cosign"
    row "(signs)" cosign_sign "$host/charts-$LOG/cache@${DIGEST[cache]}"
    row "cosign verify" cosign_verify "${TRUSTED[@]}" "$host/charts-$LOG/cache:1.4.2"
    row -g '\(signed: manifest\)' "helm-sigstore verify REF (tag)" verify "${TRUSTED[@]}" "$base/cache:1.4.2"
    row -g '\(signed: manifest\)' "helm-sigstore verify REF (digest)" \
        verify "${TRUSTED[@]}" "$base/cache@${DIGEST[cache]}"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify REF: wrong identity" \
        verify "${STRANGER[@]}" "$base/cache:1.4.2"
    NEEDS=${NEEDS% cosign}
}

# A chart that we signed: signed_by_us CHART BASE HOST BUNDLE.
signed_by_us() {
    local chart=$1 base=$2 host=$3 bundle=$4 file=$CHARTS/$1-1.4.2.tgz
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF (tag)" \
        verify "${TRUSTED[@]}" "$base/$chart:1.4.2"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF (digest)" \
        verify "${TRUSTED[@]}" "$base/$chart@${DIGEST[$chart]}"
    row -g '^Chart Hash Verified: sha256:' "helm-sigstore verify FILE --bundle --offline" \
        verify "${TRUSTED[@]}" "$file" --bundle "$bundle" --offline
    row -g 'The code-signing certificate was verified' "cosign verify" \
        cosign_verify "${TRUSTED[@]}" "$host/charts-$LOG/$chart:1.4.2"
    row -g 'Verified OK' "cosign verify-blob-attestation" \
        cosign_verify_file "${TRUSTED[@]}" --bundle "$bundle" "$file"
    row -g '^OK:' "sigstore-python verify identity" sigstore_verify "$bundle" "$IDENTITY" "$file"
}

# What must not pass, with us and with the peers: refusals_of_ours BASE HOST BUNDLE.
refusals_of_ours() {
    local base=$1 host=$2 bundle=$3 file=$CHARTS/tampered/web-1.4.2.tgz
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify REF: wrong identity" \
        verify "${STRANGER[@]}" "$base/web:1.4.2"
    row -e 5 "helm-sigstore verify FILE: tampered" verify "${TRUSTED[@]}" "$file" --bundle "$bundle" --offline
    row -e 3 -g '^error: unsigned' "helm-sigstore verify REF: unsigned" verify "${TRUSTED[@]}" "$base/plain:1.4.2"
    row -e 6 "helm-sigstore verify REF: no such version" verify "${TRUSTED[@]}" "$base/plain:9.9.9"
    row -e refused -g 'expected SAN value' "cosign verify: wrong identity" \
        cosign_verify "${STRANGER[@]}" "$host/charts-$LOG/web:1.4.2"
    row -e refused -g 'provided artifact digest(s)? do(es)? not match' "cosign verify-blob-attestation: tampered" \
        cosign_verify_file "${TRUSTED[@]}" --bundle "$bundle" "$file"
    row -e refused -g 'subject' "sigstore-python: tampered" sigstore_verify "$bundle" "$IDENTITY" "$file"
    row -e refused -g 'SANs do not match' "sigstore-python: wrong identity" \
        sigstore_verify "$bundle" mallory@example.com "$CHARTS/web-1.4.2.tgz"
}

# Plain messages, which are no signatures of charts, through the conformance adapter.
plain_messages() {
    local file=$CHARTS/web-1.4.2.tgz theirs=$WORK/$LOG.python.sigstore.json ours=$WORK/$LOG.message.sigstore.json
    local statement=$WORK/$LOG.statement.sigstore.json
    PLACE="file"
    as_signer

    SIGNER="sigstore-python sign"
    NEEDS="$NEEDS sigstore-python"
    row "(signs)" sigstore_python --trust-config "$KIT_TRUST_CONFIG" sign --identity-token "$(cat "$TOKEN")" \
        --bundle "$theirs" "$file"
    row "conformance verify-bundle" conformance_verify --bundle "$theirs" "$file"
    row -e refused "conformance verify-bundle: tampered" \
        conformance_verify --bundle "$theirs" "$CHARTS/tampered/web-1.4.2.tgz"
    row -e 5 "helm-sigstore verify FILE: a plain message" verify "${TRUSTED[@]}" "$file" --bundle "$theirs" --offline
    NEEDS=${NEEDS% sigstore-python}

    SIGNER="conformance sign-bundle"
    row "(signs)" conformance sign-bundle --identity-token "$(cat "$TOKEN")" --trusted-root "$KIT_TRUSTED_ROOT" \
        --signing-config "$KIT_SIGNING_CONFIG" --bundle "$ours" "$file"
    row "conformance verify-bundle" conformance_verify --bundle "$ours" "$file"
    row -g 'Verified OK' "cosign verify-blob" \
        cosign verify-blob --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" --bundle "$ours" "$file"
    row -g '^OK:' "sigstore-python verify identity" sigstore_verify "$ours" "$IDENTITY" "$file"
}
