# shellcheck shell=bash
# Taking signatures off: `detach` in real registries, and what cosign says afterwards. Sourced by `run`.

detach() { helm_sigstore detach --plain-http --yes "$@"; }

detaching() {
    LOG=v1
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    local registry name peer
    for registry in "distribution distribution CNCF distribution 3 (fallback)" \
        "distribution-keeps distribution CNCF distribution 3 without deletion (fallback)" \
        "debian debian docker-registry 2.8 (fallback)" "olareg olareg olareg (referrers API)" \
        "olareg-keeps olareg olareg without deletion (referrers API)"; do
        read -r name peer PLACE <<<"$registry"
        NEEDS="$CHART_HELM $peer"
        if [ -n "${MISSING[$peer]:-}" ]; then
            REGISTRY=127.0.0.1:9
        else
            start_registry "$name" || { failed_before "$name" "did not start"; continue; }
        fi
        detached_in "$name" "$REGISTRY"
    done
}

# detached_in NAME HOST: a chart that two have signed, in both formats; one of them was wrong.
detached_in() {
    local base="oci://$2/detach" image=$2/detach code=0 left='    removed'
    as_signer
    SIGNER=-
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$base"
    DIGEST[web]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    SIGNER="helm-sigstore sign (both formats, twice)"
    row -g '^Attached: ' "(signs, wrongly as e-mail)" signed_as email sign "$base/web:1.4.2"
    row -g '^Attached: ' "(signs)" sign "$base/web:1.4.2"
    WRONG=(--certificate-identity "$KIT_IDENTITY_EMAIL" --certificate-oidc-issuer "$KIT_ISSUER_EMAIL")
    row "helm-sigstore verify: the wrong signer is there" verify "${WRONG[@]}" "$base/web:1.4.2"

    row -e 2 -g 'the digest names several things' "helm-sigstore detach: a payload that two have signed" \
        detach "$base/web:1.4.2" --digest "$(named_by digest "$base/web:1.4.2" "$KIT_IDENTITY_EMAIL" cosign-tag)"
    row -g '^Digest: sha256:' "push of api" push "$CHARTS/api-1.4.2.tgz" "$base"
    row -g '^Attached: ' "(signs another chart)" sign "$base/api:1.4.2"
    row -e 2 -g '^error: no such attachment' "helm-sigstore detach: a signature of another chart" \
        detach "$base/web:1.4.2" --digest "$(named_by entry "$base/api:1.4.2" "$IDENTITY" | sed -n 1p)"
    case $1 in
        # What the registry lists by itself is there until it deletes it; the .sig goes all the same.
        olareg-keeps) code=4 left='still attached' ;;
        distribution-keeps) left='its manifest .* stays, and nothing lists it' ;;
    esac
    # shellcheck disable=SC2046 # flags and digests, without spaces
    row -e $code -g "$left" "helm-sigstore detach" detach "$base/web:1.4.2" \
        $(named_by entry "$base/web:1.4.2" "$KIT_IDENTITY_EMAIL" | sed 's/^/--digest /')
    row -g '^Format: legacy' "helm-sigstore verify --all: the right signer in both formats" \
        verify --all "${TRUSTED[@]}" "$base/web:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign 3.1 verify" cosign_verify "${TRUSTED[@]}" "$image/web:1.4.2"
    row -g '^error: (wrong signer|unsigned)' -e 5 "helm-sigstore verify --accept legacy: the wrong signer" \
        verify --accept legacy "${WRONG[@]}" "$base/web:1.4.2"
    if [ $code = 0 ]; then
        row -g 'The code-signing certificate was verified' "cosign 2.6 verify" \
            cosign_2_verify_bundle "${TRUSTED[@]}" "$image/web:1.4.2"
        row -e 5 -g '^error: wrong signer' "helm-sigstore verify: the wrong signer" verify "${WRONG[@]}" "$base/web:1.4.2"
        row -e refused "cosign 3.1 verify: the wrong signer" cosign_verify "${WRONG[@]}" "$image/web:1.4.2"
    fi

    # The rest: nothing is left, and whoever signs next finds the place as new.
    # shellcheck disable=SC2046 # flags and digests, without spaces
    row -e $code -g "$left" "helm-sigstore detach: the last one" detach "$base/web:1.4.2" \
        $(named_by entry "$base/web:1.4.2" "$IDENTITY" | sed 's/^/--digest /')
    row -e 3 -g '^error: unsigned' "helm-sigstore verify --accept legacy" \
        verify --accept legacy "${TRUSTED[@]}" "$base/web:1.4.2"
    if [ $code = 0 ]; then
        row -g '^nothing attached' "helm-sigstore tree" helm_sigstore tree --plain-http "$base/web:1.4.2"
        row -e 3 -g '^error: unsigned' "helm-sigstore verify" verify "${TRUSTED[@]}" "$base/web:1.4.2"
        row -e refused -g 'no signatures found|no matching signatures' "cosign 2.6 verify (.sig)" \
            cosign_2_verify "${TRUSTED[@]}" "$image/web:1.4.2"
        row -e refused -g 'no signatures found' "cosign 3.1 verify" cosign_verify "${TRUSTED[@]}" "$image/web:1.4.2"
    fi
    local needs=$NEEDS
    NEEDS="$needs cosign-2"
    SIGNER="cosign 2.6 sign, after that"
    row "(signs)" legacy_sign_2 "$image/web@${DIGEST[web]}"
    [ $code != 0 ] || row -g 'The code-signing certificate was verified' "cosign 2.6 verify (.sig)" \
        cosign_2_verify "${TRUSTED[@]}" "$image/web:1.4.2"
    row -g '^Format: legacy' "helm-sigstore verify --accept legacy --all" \
        verify --accept legacy --all "${TRUSTED[@]}" "$base/web:1.4.2"
    NEEDS=$needs
    SIGNER="cosign 3.1 sign, after that"
    row "(signs)" cosign_sign "$image/web@${DIGEST[web]}"
    row -g 'The code-signing certificate was verified' "cosign 3.1 verify" cosign_verify "${TRUSTED[@]}" "$image/web:1.4.2"
}

# named_by entry|digest REF IDENTITY [PLACE]: what is attached to REF and claims that signer, a line each.
named_by() {
    helm_sigstore tree --plain-http -o json "$2" | python3 -c '
import json, sys
kind, identity, *place = sys.argv[1:]
found = []
for one in json.load(sys.stdin)["places"]:
    for attached in one["attached"]:
        if place and one["place"] != place[0]:
            continue
        if (attached["claimedSigner"] or {}).get("identity") == identity:
            found.append((kind == "entry" and attached["entry"]) or attached["digest"])
print("\n".join(dict.fromkeys(found)))' "$1" "$3" "${@:4}"
}
