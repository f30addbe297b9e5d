# shellcheck shell=bash
# Signatures that lie elsewhere than the chart, as cosign lays them out too, and charts in an image index that another
# tool has made. Sourced by `run`.

USES+=([cosign_elsewhere]=cosign [cosign_2_elsewhere]=cosign-2 [crane]=crane)

crane() { timeout 120 "${PEER[crane]}" "$@"; }

places() {
    LOG=v1
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    local registry name peer
    for registry in "${CONSUMER_REGISTRIES[@]}"; do
        read -r name peer PLACE <<<"$registry"
        SIGNER=- NEEDS=
        not_measured "signatures elsewhere, image indexes" "$peer" "$CHART_HELM" && continue
        start_registry "$name" || { failed_before "$name" "did not start"; continue; }
        as_signer
        NEEDS="$CHART_HELM $peer"
        signatures_elsewhere "$REGISTRY"
        indexes_in "$REGISTRY"
    done
    NEEDS=
}

# elsewhere COMMAND…: with the repository that cosign, and we, read from its variable.
elsewhere() { COSIGN_REPOSITORY=$ELSEWHERE "$@"; }
cosign_elsewhere() { elsewhere "$@"; }
cosign_2_elsewhere() { elsewhere "$@"; }

# signatures_elsewhere HOST: charts that nobody may write beside, and signatures in a repository of one's own.
signatures_elsewhere() {
    local base=oci://$1/others image=$1/others chart
    ELSEWHERE=$1/acme/signatures
    for chart in web api cache; do
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
        DIGEST[$chart]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    done
    SIGNER="helm-sigstore sign --signature-repository"
    row -g '\(cosign tag\)$' "(signs)" sign "$base/web:1.4.2" --signature-repository "oci://$ELSEWHERE"
    read_elsewhere web '\(signed: manifest and chart\)'
    row -g 'The code-signing certificate was verified' "cosign 2.6 verify, COSIGN_REPOSITORY" \
        cosign_2_elsewhere cosign_2_verify_bundle "${TRUSTED[@]}" "$image/web:1.4.2"
    row -g '^Format: legacy' "helm-sigstore verify --all: both formats" \
        verify --all "${TRUSTED[@]}" "$base/web:1.4.2" --signature-repository "oci://$ELSEWHERE"

    SIGNER="cosign 3.1 sign, COSIGN_REPOSITORY"
    row "(signs)" cosign_elsewhere cosign_sign "$image/api@${DIGEST[api]}"
    read_elsewhere api '\(signed: manifest\)'
    SIGNER="cosign 2.6 sign (.sig), COSIGN_REPOSITORY"
    NEEDS="$NEEDS cosign-2"
    row "(signs)" cosign_2_elsewhere legacy_sign_2 "$image/cache@${DIGEST[cache]}"
    read_elsewhere cache '\(signed: manifest\)'
    NEEDS=${NEEDS% cosign-2}
}

# read_elsewhere CHART PATTERN: found there by both, by flag and by variable, and beside the chart there is nothing.
read_elsewhere() {
    row -g "$2" "helm-sigstore verify --signature-repository" \
        verify "${TRUSTED[@]}" "$base/$1:1.4.2" --signature-repository "oci://$ELSEWHERE"
    row -g "$2" "helm-sigstore verify, COSIGN_REPOSITORY" elsewhere verify "${TRUSTED[@]}" "$base/$1:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign 3.1 verify, COSIGN_REPOSITORY" \
        cosign_elsewhere cosign_verify "${TRUSTED[@]}" "$image/$1:1.4.2"
    row -e 3 -g '^error: unsigned' "helm-sigstore verify: nothing beside the chart" verify "${TRUSTED[@]}" "$base/$1:1.4.2"
    row -e refused -g 'no signatures found' "cosign 3.1 verify: nothing beside the chart" \
        cosign_verify "${TRUSTED[@]}" "$image/$1:1.4.2"
}

# indexes_in HOST: an index by crane, and one by oras, under the tag of the chart in it.
indexes_in() {
    local image=$1/indexed base=oci://$1/indexed tool child index
    for tool in crane oras; do
        SIGNER="index by $tool" NEEDS="$CHART_HELM $peer $tool"
        [ -z "${MISSING[$tool]:-}" ] || { row "all" true; continue; }
        row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$base/$tool"
        child=$(sed -n 's/^Digest: *//p' "$OUTPUT")
        case $tool in
            crane) row "(makes an index)" crane index append --manifest "$image/$tool/web@$child" --tag "$image/$tool/web:1.4.2" ;;
            oras) row "(makes an index)" oras manifest index create --plain-http "$image/$tool/web:1.4.2" "$child" ;;
        esac
        row -g '^sha256:' "(its digest)" crane digest "$image/$tool/web:1.4.2"
        index=$(grep -oE 'sha256:[0-9a-f]{64}' "$OUTPUT" | tail -n 1)
        row "the tag is the index's now" test "$index" != "$child"
        row -e 3 -g '^error: unsigned' "helm-sigstore verify REF: unsigned" verify "${TRUSTED[@]}" "$base/$tool/web:1.4.2"
        SIGNER="helm-sigstore sign (index by $tool)"
        row -g '^Attached: sha256:' "(signs)" sign "$base/$tool/web:1.4.2"
        row -g '\(signed: index, manifest and chart\)' "helm-sigstore verify REF (tag)" verify "${TRUSTED[@]}" "$base/$tool/web:1.4.2"
        row -g '\(signed: index, manifest and chart\)' "helm-sigstore verify REF (index's digest)" \
            verify "${TRUSTED[@]}" "$base/$tool/web@$index"
        row -g 'manifest and chart\)' "helm-sigstore verify REF (chart's digest)" verify "${TRUSTED[@]}" "$base/$tool/web@$child"
        row -g "^Pinned: $base/$tool/web@$child\$" "helm-sigstore verify REF: the chart is pinned" \
            verify "${TRUSTED[@]}" "$base/$tool/web:1.4.2"
        row -e 5 -g '^error: wrong signer' "helm-sigstore verify REF: wrong identity" verify "${STRANGER[@]}" "$base/$tool/web:1.4.2"
        row -g 'The code-signing certificate was verified' "cosign 3.1 verify (tag)" \
            cosign_verify "${TRUSTED[@]}" "$image/$tool/web:1.4.2"
        row -g 'The code-signing certificate was verified' "cosign 3.1 verify (index's digest)" \
            cosign_verify "${TRUSTED[@]}" "$image/$tool/web@$index"
        row -g 'The code-signing certificate was verified' "cosign 3.1 verify (chart's digest)" \
            cosign_verify "${TRUSTED[@]}" "$image/$tool/web@$child"
        row "helm pull, as pinned" helm pull --plain-http "$base/$tool/web@$child" --destination "$WORK"
        SIGNER="cosign 3.1 sign --recursive (index by $tool)"
        row "(signs)" signed_as gitlab cosign_sign --recursive "$image/$tool/web@$index"
        row -g '\(signed: ' "helm-sigstore verify REF (tag)" verify --gitlab acme/charts --gitlab-issuer "$KIT_ISSUER_GITLAB" \
            "$base/$tool/web:1.4.2"
    done
}
