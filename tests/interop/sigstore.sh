# shellcheck shell=bash
# The real Sigstore of stack.sh, as an instance of one's own that is set up through TUF: every kind of identity that
# Fulcio issues, signed by us and by cosign, verified by us, cosign and sigstore-python. Sourced by `run`.

KINDS="email github gitlab buildkite circleci codefresh kubernetes spiffe uri username chainguard"

sigstore() {
    SIGNER=- LOG=v2 PLACE="real Sigstore"
    # shellcheck disable=SC2086 # words
    not_measured "Fulcio, Rekor v2, timestamp authority" $STACK_PEERS "$CHART_HELM" && return
    start_stack || { failed_before "Fulcio, Rekor v2, timestamp authority" "did not start"; return; }
    start_tuf other && OTHER_TUF_ROOT=$KIT_TUF_ROOT && start_tuf acme || {
        failed_before "kit tuf" "did not start"
        return
    }
    # From here on what was written for the kit's Sigstore speaks to this one.
    KITS_OWN=(--trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG")
    KIT_TRUSTED_ROOT=$STACK_TRUSTED_ROOT KIT_SIGNING_CONFIG=$STACK_SIGNING_CONFIG KIT_TRUST_CONFIG=$STACK_TRUST_CONFIG
    private_instance
    if not_measured "identities" olareg; then
        REGISTRY=$KIT_REGISTRY PLACE="kit (referrers API)"
    else
        PLACE="olareg (referrers API)"
        start_registry olareg || { failed_before "olareg" "did not start"; return; }
    fi
    local kind
    for kind in $KINDS; do identity_of "$kind" "$REGISTRY"; done
    github_claims "$REGISTRY"
    signing_in "$REGISTRY"
    without_services "$REGISTRY"
}

instance_sign() { helm_sigstore sign --plain-http --instance acme --identity-token "$TOKEN" "$@"; }
instance_verify() { helm_sigstore verify --plain-http --instance acme "$@"; }
cosign_initialize() { TUF_ROOT=$WORK/cosign-tuf cosign initialize "$@"; }
# Without a word about trust: from the TUF cache alone.
cosign_by_tuf() { TUF_ROOT=$WORK/cosign-tuf cosign verify "$@"; }
sigstore_by_tuf() { sigstore_python --instance "$KIT_TUF_URL" "$@"; }
USES+=([cosign_initialize]=cosign [cosign_by_tuf]=cosign [sigstore_by_tuf]=sigstore-python)

# The instance's trusted root and services through TUF.
private_instance() {
    PLACE="TUF (kit)"
    row -g '^Trusted: instance acme' "helm-sigstore trust init" \
        helm_sigstore trust init acme --mirror "$KIT_TUF_URL" --root "$KIT_TUF_ROOT"
    row -g "$STACK_FULCIO_URL" "helm-sigstore trust show --instance" helm_sigstore trust show --instance acme
    row "helm-sigstore trust export" helm_sigstore trust export --instance acme "$WORK/exported.json"
    row "helm-sigstore trust export: what was published" same_document "$STACK_TRUSTED_ROOT" "$WORK/exported.json"
    sed 's/"threshold":2/"threshold":1/' "$KIT_TUF_ROOT" >"$WORK/forged-root.json"
    row -e 2 -g '^error: not a TUF root' "helm-sigstore trust init: a forged root" \
        helm_sigstore trust init mallory --mirror "$KIT_TUF_URL" --root "$WORK/forged-root.json"
    row -e 4 "helm-sigstore trust init: the root of another repository" \
        helm_sigstore trust init mallory --mirror "$KIT_TUF_URL" --root "$OTHER_TUF_ROOT"
    row -e 2 "helm-sigstore trust show: an instance that was not set up" helm_sigstore trust show --instance mallory
    row "cosign initialize" cosign_initialize --mirror "$KIT_TUF_URL" --root "$KIT_TUF_ROOT"
    row "sigstore-python trust-instance" sigstore_by_tuf trust-instance "$KIT_TUF_ROOT"
}

same_document() {
    python3 -c 'import json, sys; one, two = (json.load(open(name)) for name in sys.argv[1:]); sys.exit(one != two)' "$@"
}

# Sets what as_signer sets, for one kind of identity.
as_kind() {
    local name=${1^^}
    local token=KIT_TOKEN_$name identity=KIT_IDENTITY_$name issuer=KIT_ISSUER_$name
    TOKEN=${!token} IDENTITY=${!identity} ISSUER=${!issuer}
    # The domain is as Fulcio is configured.
    [ "$1" != username ] || IDENTITY='jane!127.0.0.1'
    TRUSTED=(--certificate-identity "$IDENTITY" --certificate-oidc-issuer "$ISSUER")
    # The short forms, where there is one.
    case $1 in
        email) SHORT=(--email "$IDENTITY" --issuer "$ISSUER") STRANGER=(--email mallory@example.com --issuer "$ISSUER") ;;
        github) SHORT=(--github acme/charts --github-issuer "$ISSUER")
            STRANGER=(--github acme/other --github-issuer "$ISSUER") ;;
        gitlab) SHORT=(--gitlab acme/charts --gitlab-issuer "$ISSUER")
            STRANGER=(--gitlab acme/other --gitlab-issuer "$ISSUER") ;;
        *) SHORT=(--certificate-identity-regexp '.*' --certificate-oidc-issuer "$ISSUER")
            STRANGER=(--certificate-identity "$IDENTITY/mallory" --certificate-oidc-issuer "$ISSUER") ;;
    esac
}

# identity_of KIND HOST
identity_of() {
    local kind=$1 host=$2 base="oci://$2/identity-$1" chart bundle=$WORK/identity-$1.sigstore.json
    as_kind "$kind"
    for chart in web cache; do
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
        DIGEST[$chart]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    done
    SIGNER="helm-sigstore sign ($kind)"
    row -g "^Signed by: $(literal "$IDENTITY")\$" "(signs)" instance_sign "$base/web:1.4.2" --bundle-out "$bundle"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF" \
        instance_verify "${TRUSTED[@]}" "$base/web:1.4.2"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF ${SHORT[0]}" \
        instance_verify "${SHORT[@]}" "$base/web:1.4.2"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify REF: wrong identity" \
        instance_verify "${STRANGER[@]}" "$base/web:1.4.2"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify REF: wrong issuer" instance_verify \
        --certificate-identity "$IDENTITY" --certificate-oidc-issuer https://issuer.example "$base/web:1.4.2"
    row -g '^Chart Hash Verified: sha256:' "helm-sigstore verify FILE --bundle --offline" \
        instance_verify "${TRUSTED[@]}" "$CHARTS/web-1.4.2.tgz" --bundle "$bundle" --offline
    row -g 'The code-signing certificate was verified' "cosign verify --trusted-root" \
        cosign_verify "${TRUSTED[@]}" "$host/identity-$kind/web:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign verify, trust by TUF" \
        cosign_by_tuf "${TRUSTED[@]}" "$host/identity-$kind/web:1.4.2"
    row -e refused "cosign verify: wrong identity" cosign_verify \
        --certificate-identity "$IDENTITY/mallory" --certificate-oidc-issuer "$ISSUER" "$host/identity-$kind/web:1.4.2"
    if [ "$kind" = username ]; then
        # It takes the DER of the name, type and length included, for the name.
        row -e refused -g 'actual SANs: .*jane!127' "sigstore-python verify identity: cannot read user names" \
            sigstore_verify "$bundle" "$IDENTITY" "$CHARTS/web-1.4.2.tgz"
    else
        row -g '^OK:' "sigstore-python verify identity --offline" \
            sigstore_verify "$bundle" "$IDENTITY" "$CHARTS/web-1.4.2.tgz"
    fi
    row "the kit's Fulcio writes the same certificate" certificate_as_the_kits "$kind" "$bundle"

    SIGNER="cosign sign ($kind)"
    row "(signs)" cosign_sign "$host/identity-$kind/cache@${DIGEST[cache]}"
    row -g '\(signed: manifest\)' "helm-sigstore verify REF" instance_verify "${TRUSTED[@]}" "$base/cache:1.4.2"
    row -g '\(signed: manifest\)' "helm-sigstore verify REF ${SHORT[0]}" \
        instance_verify "${SHORT[@]}" "$base/cache:1.4.2"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify REF: wrong identity" \
        instance_verify "${STRANGER[@]}" "$base/cache:1.4.2"
}

# As a regular expression.
literal() { sed 's/[][\.*^$+?(){}|/]/\\&/g' <<<"$1"; }

# The kit's own Fulcio, given the same token, writes the same name and claims: what the tests of the product rely on.
certificate_as_the_kits() {
    local kits=$WORK/kits.sigstore.json one=$WORK/certificate.real two=$WORK/certificate.kit
    local base=oci://$KIT_REGISTRY/kits-$1
    push "$CHARTS/web-1.4.2.tgz" "$base" && helm_sigstore sign "$base/web:1.4.2" --plain-http "${KITS_OWN[@]}" \
        --identity-token "$TOKEN" --bundle-out "$kits" || return 1
    certificate_claims "$2" >"$one" && certificate_claims "$kits" | sed 's/users\.example\.com/127.0.0.1/' >"$two" &&
        [ -s "$one" ] && diff "$one" "$two"
}

# Name and Fulcio's extensions of a bundle's certificate.
certificate_claims() {
    python3 -c 'import base64, json, sys
sys.stdout.buffer.write(base64.b64decode(json.load(open(sys.argv[1]))["verificationMaterial"]["certificate"]["rawBytes"]))' "$1" |
        openssl x509 -inform DER -noout -text | grep -A 1 -E '1\.3\.6\.1\.4\.1\.57264\.1\.[0-9]+:|Subject Alternative Name'
}

# What Fulcio wrote about a build, asked for and refused: github_claims HOST.
github_claims() {
    local base="oci://$1/claims" ref
    SIGNER="helm-sigstore sign (github)"
    as_kind github
    ref=oci://$1/identity-github/web:1.4.2
    local ours=(--github-issuer "$ISSUER" "$ref")
    row -g '^Trusted as: --github' "helm-sigstore verify --github OWNER/REPO@REF" \
        instance_verify --github 'acme/charts@refs/heads/*' "${ours[@]}"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify --github OWNER/REPO@REF: another ref" \
        instance_verify --github 'acme/charts@refs/tags/*' "${ours[@]}"
    row "helm-sigstore verify --source-ref --build-trigger --runner-environment" instance_verify --github acme/charts \
        --source-ref refs/heads/main --build-trigger push --runner-environment github-hosted "${ours[@]}"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify --runner-environment: another" \
        instance_verify --github acme/charts --runner-environment self-hosted "${ours[@]}"

    SIGNER="helm-sigstore sign (github, reusable)"
    TOKEN=$KIT_TOKEN_GITHUB_REUSABLE
    row -g '^Digest: sha256:' "push of api" push "$CHARTS/api-1.4.2.tgz" "$base"
    row -g '^Signed by: https://github.com/acme/workflows/' "(signs)" instance_sign "$base/api:1.4.2"
    ours=(--github-issuer "$ISSUER" "$base/api:1.4.2")
    row -g '^Trusted as: --github' "helm-sigstore verify --github --signer-workflow" instance_verify \
        --github acme/charts --signer-workflow 'acme/workflows/.github/workflows/helm.yml@refs/tags/*' "${ours[@]}"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify --github alone: the workflow is another's" \
        instance_verify --github acme/charts "${ours[@]}"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify --github of the workflow: the source is another's" \
        instance_verify --github acme/workflows "${ours[@]}"
}

# A person at a terminal, in the browser and with a code: signing_in HOST.
signing_in() {
    local base="oci://$1/person" browser=$WORK/browser
    as_kind email
    printf '%s\n' '#!/usr/bin/env python3' 'import sys, urllib.request' \
        'urllib.request.urlopen(sys.argv[1], timeout=20).read()' >"$browser"
    chmod 755 "$browser"
    SIGNER="helm-sigstore sign (browser)"
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$base"
    row -g "^Signed by: $(literal "$IDENTITY")\$" "(signs)" on_a_terminal "$browser" "$base/web:1.4.2"
    row "helm-sigstore sign in a browser: no token is shown" without_token "$WORK/terminal"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF" \
        instance_verify "${TRUSTED[@]}" "$base/web:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign verify --trusted-root" \
        cosign_verify "${TRUSTED[@]}" "$1/person/web:1.4.2"
    SIGNER="helm-sigstore sign (device)"
    row -g '^Digest: sha256:' "push of cache" push "$CHARTS/cache-1.4.2.tgz" "$base"
    row -g "^Signed by: $(literal "$IDENTITY")\$" "(signs)" on_a_terminal "" "$base/cache:1.4.2" --device
    row "helm-sigstore sign --device: no token is shown" without_token "$WORK/terminal"
    row -g 'The code-signing certificate was verified' "cosign verify --trusted-root" \
        cosign_verify "${TRUSTED[@]}" "$1/person/cache:1.4.2"
    row -e 2 -g '^error: nobody is here to sign in' "helm-sigstore sign --device: no terminal" \
        helm_sigstore sign --plain-http --instance acme --device "$base/cache:1.4.2"
}

# on_a_terminal BROWSER ARGUMENT…
on_a_terminal() {
    local browser=$1
    shift
    env -u CI -u JENKINS_URL -u TEAMCITY_VERSION -u TF_BUILD BROWSER="$browser" NO_GCE_CHECK=true \
        python3 "$HERE/terminal.py" "$PRODUCT" sign --plain-http --instance acme "$@" | tee "$WORK/terminal"
}

# Every JWT begins so.
without_token() { ! grep -q 'eyJ' "$1"; }

# What becomes of it when the services are gone, one after another: without_services HOST.
without_services() {
    local base="oci://$1/gone" ours=("oci://$1/identity-email/web:1.4.2")
    SIGNER="helm-sigstore sign (email)"
    as_kind email
    row -e 5 "helm-sigstore verify: trust of another Sigstore" \
        helm_sigstore verify --plain-http "${KITS_OWN[@]:0:2}" "${TRUSTED[@]}" "${ours[@]}"
    row -g '^Digest: sha256:' "push of plain" push "$CHARTS/plain-1.4.2.tgz" "$base"
    kill "$STACK_TUF"
    row "helm-sigstore verify: without the TUF mirror, from the cache" instance_verify "${TRUSTED[@]}" "${ours[@]}"
    row -e 4 "helm-sigstore trust update: without the TUF mirror" helm_sigstore trust update --instance acme
    kill "$STACK_REKOR"
    row -e 4 -g '^error: cannot log the signature' "helm-sigstore sign: without Rekor" instance_sign "$base/plain:1.4.2"
    kill "$STACK_TSA"
    row -e 4 -g '^error: cannot get a timestamp' "helm-sigstore sign: without timestamp authority" instance_sign "$base/plain:1.4.2"
    kill "$STACK_FULCIO"
    row -e 4 -g '^error: cannot get a certificate' "helm-sigstore sign: without Fulcio" instance_sign "$base/plain:1.4.2"
    row -e 3 -g '^error: unsigned' "helm-sigstore verify: nothing half signed" \
        instance_verify "${TRUSTED[@]}" "$base/plain:1.4.2"
    row "helm-sigstore verify: without all of them" instance_verify "${TRUSTED[@]}" "${ours[@]}"
}
