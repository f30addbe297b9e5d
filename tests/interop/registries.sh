# shellcheck shell=bash
# Registries as their makers publish them: what we and cosign sign there is verified by both, stands side by side, and
# leaves the chart as Helm sees it; and many who sign one chart at once all keep their signatures. Sourced by `run`.

# name of start_registry, peer, words
REGISTRIES=(
    "debian debian CNCF distribution 2.8 (fallback)"
    "distribution distribution CNCF distribution 3.1 (fallback)"
    "olareg olareg olareg 0.2.2 (referrers API)"
    "olareg-405 olareg olareg 0.2.2 (405)"
    "crane crane ggcr 0.21.9 (fallback)"
    "zot zot zot (referrers API)"
)

registries() {
    LOG=v1
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    local registry name peer
    for registry in "${REGISTRIES[@]}"; do
        read -r name peer PLACE <<<"$registry"
        SIGNER=-
        not_measured "sign and verify" "$peer" "$CHART_HELM" && continue
        start_registry "$name" || { failed_before "$name" "did not start"; continue; }
        registry_by "$name" "$REGISTRY"
    done
}

# registry_by NAME HOST
registry_by() {
    local name=$1 host=$2 base="oci://$2/acme/charts" image=$2/acme/charts chart
    as_signer
    for chart in web api cache plain; do
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
        DIGEST[$chart]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    done

    SIGNER="helm-sigstore sign REF"
    row -g '^Attached: sha256:' "(signs)" sign "$base/web:1.4.2"
    by_both web
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify REF: wrong identity" verify "${STRANGER[@]}" "$base/web:1.4.2"
    row -e 3 -g '^error: unsigned' "helm-sigstore verify REF: unsigned" verify "${TRUSTED[@]}" "$base/plain:1.4.2"
    row -e 6 "helm-sigstore verify REF: no such version" verify "${TRUSTED[@]}" "$base/web:9.9.9"
    row -e 6 "helm-sigstore verify REF: no such chart" verify "${TRUSTED[@]}" "$base/none:1.4.2"

    SIGNER="cosign sign"
    if [ "$name" = olareg-405 ]; then
        row -e refused -g 'UNSUPPORTED' "(cannot sign here)" cosign_sign "$image/cache@${DIGEST[cache]}"
    else
        row "(signs)" cosign_sign "$image/cache@${DIGEST[cache]}"
        row -g '\(signed: manifest\)' "helm-sigstore verify REF" verify "${TRUSTED[@]}" "$base/cache:1.4.2"
        # Theirs, then ours, then theirs again, by three identities.
        SIGNER="cosign, helm-sigstore, cosign"
        row "(cosign signs, as e-mail)" signed_as email cosign_sign "$image/api@${DIGEST[api]}"
        row "(helm-sigstore signs, as GitHub)" signed_as github sign "$base/api:1.4.2"
        row "(cosign signs, as GitLab)" signed_as gitlab cosign_sign "$image/api@${DIGEST[api]}"
        row "helm-sigstore verify REF --min-signatures 3" verify --min-signatures 3 \
            --email "$KIT_IDENTITY_EMAIL" --issuer "$KIT_ISSUER_EMAIL" \
            --github acme/charts --github-issuer "$KIT_ISSUER_GITHUB" \
            --gitlab acme/charts --gitlab-issuer "$KIT_ISSUER_GITLAB" "$base/api:1.4.2"
        by_both api
    fi

    # For Helm the chart is what it was.
    SIGNER="helm-sigstore sign REF"
    row "helm pull" pulled "$base/web" "$CHARTS/web-1.4.2.tgz"
    row -g '^version: 1\.4\.2' "helm show chart, by a constraint" helm show chart "$base/web" --version '^1' --plain-http
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF --version '^1'" \
        verify "${TRUSTED[@]}" "$base/web" --version '^1'
}

by_both() {
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF (tag)" verify "${TRUSTED[@]}" "$base/$1:1.4.2"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF (digest)" \
        verify "${TRUSTED[@]}" "$base/$1@${DIGEST[$1]}"
    cosign_finds "cosign verify" "${TRUSTED[@]}" "$image/$1:1.4.2"
}

# cosign_finds VERIFIER ARGUMENT…: a 405 to the referrers API is no answer that it knows; there it finds the older format
# under its tag, which we write too.
cosign_finds() {
    local verifier=$1
    shift
    if [ "$name" = olareg-405 ]; then
        row -g 'The code-signing certificate was verified' "$verifier: by the .sig tag" cosign_verify "$@"
    else
        row -g 'The code-signing certificate was verified' "$verifier" cosign_verify "$@"
    fi
}

# signed_as KIND COMMAND…
signed_as() {
    local token=KIT_TOKEN_${1^^}
    shift
    TOKEN=${!token} "$@"
}
USES+=([signed_as]=cosign)

pulled() {
    rm -rf "$WORK/pulled" && mkdir "$WORK/pulled" &&
        helm pull "$1" --version 1.4.2 --plain-http --destination "$WORK/pulled" && cmp "$WORK/pulled/${2##*/}" "$2"
}

# Forty who sign one chart at the same moment.
WRITERS=40

writers() {
    LOG=v1
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    make_tokens "$WORK/tokens" || { failed_before "tokens" "cannot be had"; return; }
    local registry name peer
    for registry in "kit - kit (referrers API)" "${REGISTRIES[@]}"; do
        read -r name peer PLACE <<<"$registry"
        SIGNER="$WRITERS at once"
        not_measured "$WRITERS of $WRITERS" "$peer" "$CHART_HELM" && continue
        # The kit's is started with its Sigstore.
        REGISTRY_kit=$KIT_REGISTRY start_registry "$name" ||
            { failed_before "$name" "did not start"; continue; }
        writers_in "$REGISTRY"
    done
}

# A token for each: $1/1 and so on.
make_tokens() {
    mkdir -p "$1"
    python3 - "$KIT_OIDC_URL" "$1" "$WRITERS" <<'PYTHON'
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
url, folder, count = sys.argv[1:]
for n in range(1, int(count) + 1):
    token = opener.open(f"{url}/token?kind=email&identity=signer-{n}%40example.com&expires_in=86400").read()
    open(f"{folder}/{n}", "wb").write(token)
PYTHON
}

# writers_in HOST
writers_in() {
    local base="oci://$1/acme/writers" n each=()
    as_signer
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$base"
    for n in $(seq "$WRITERS"); do each+=(--email "signer-$n@example.com" --issuer "$KIT_ISSUER_EMAIL"); done
    if [ "$name" = olareg ]; then
        # It reads, changes and writes its list of referrers without a lock. What it drops, the signer is told (exit
        # code 4), and signs again as the message says.
        row "(sign): all, some again as they were told" all_sign 8 "$base/web:1.4.2"
    else
        row "(sign): all at once" all_sign 1 "$base/web:1.4.2"
    fi
    row "helm-sigstore verify REF --min-signatures $WRITERS" \
        verify --accept bundle --min-signatures "$WRITERS" "${each[@]}" "$base/web:1.4.2"
    cosign_finds "cosign verify, one of them" \
        --certificate-identity "signer-$WRITERS@example.com" --certificate-oidc-issuer "$KIT_ISSUER_EMAIL" \
        "$1/acme/writers/web:1.4.2"
    case $name in
        distribution | debian | olareg) ;;
        *) return ;;
    esac
    # The older format: where nothing is asked for, one that cannot be attached costs a warning; asked for, it is told.
    SIGNER="$WRITERS at once (legacy)"
    row -g '^Digest: sha256:' "push of api" push "$CHARTS/api-1.4.2.tgz" "$base"
    row "(sign): all, some again as they were told" all_sign 8 "$base/api:1.4.2" --signature-format legacy
    row "helm-sigstore verify --accept legacy --min-signatures $WRITERS" \
        verify --accept legacy --min-signatures "$WRITERS" "${each[@]}" "$base/api:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign verify (.sig), one of them" cosign_verify \
        --certificate-identity "signer-$WRITERS@example.com" --certificate-oidc-issuer "$KIT_ISSUER_EMAIL" \
        "$1/acme/writers/api:1.4.2"
}

# all_sign ATTEMPTS REF ARGUMENT…: everybody signs; who is told that it is undecided may try again.
all_sign() {
    local attempts=$1 n code pids=() failed=0 folder=$WORK/said
    mkdir -p "$folder"
    for n in $(seq "$WRITERS"); do
        (
            for _ in $(seq "$attempts"); do
                code=0
                TOKEN=$WORK/tokens/$n sign "${@:2}" >"$folder/$n" 2>&1 || code=$?
                [ "$code" = 4 ] || break
            done
            exit "$code"
        ) &
        pids+=($!)
    done
    for n in $(seq "$WRITERS"); do
        wait "${pids[n - 1]}" || {
            failed=$((failed + 1))
            grep -E -m 2 '^error|cause' "$folder/$n"
        }
    done
    echo "$failed of $WRITERS failed"
    [ "$failed" -eq 0 ]
}
