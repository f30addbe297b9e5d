# shellcheck shell=bash
# A chart with signatures beside it is for Helm what it was: package, push, pull, show and template by both majors,
# versions by constraint, and the list of tags that others see. Sourced by `run`.

charts() {
    LOG=v1
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    as_signer
    local registry name peer helm place
    for registry in "debian debian CNCF distribution 2.8 (fallback)" "olareg olareg olareg 0.2.2 (referrers API)"; do
        read -r name peer place <<<"$registry"
        for helm in helm-4 helm-3; do
            PLACE="$helm, $place" SIGNER=- NEEDS=$helm
            not_measured "package, push, pull, show, template" "$peer" "$helm" && continue
            start_registry "$name" || { failed_before "$name" "did not start"; continue; }
            as_helm "$helm" "$WORK/homes/rows-$helm"
            beside_signatures "$REGISTRY" "$helm"
        done
    done
    NEEDS=
    as_helm "$CHART_HELM" "$WORK/homes/charts"
}

# beside_signatures HOST HELM
beside_signatures() {
    local base="oci://$1/acme/$2" dir=$WORK/packaged-$1-$2 version
    mkdir -p "$dir"
    SIGNER=-
    row "helm create" helm create "$dir/shop"
    for version in 1.4.2 1.5.0 2.0.0-rc.1; do
        row -g 'Successfully packaged' "helm package $version" helm package "$dir/shop" --version "$version" --destination "$dir"
        row -g '^Digest: sha256:' "helm push $version" push "$dir/shop-$version.tgz" "$base"
    done
    helm template shop "$base/shop" --version 1.4.2 --plain-http >"$dir/before" 2>/dev/null
    SIGNER="helm-sigstore sign REF"
    for version in 1.4.2 1.5.0 2.0.0-rc.1; do
        row -g '^Attached: sha256:' "(signs) $version" sign "$base/shop:$version"
    done
    row "helm template oci://… says what it said" same_template "$dir/before" "$base/shop"
    row -g '^version: 1\.5\.0' "helm show chart: the newest" helm show chart "$base/shop" --plain-http
    row -g '^version: 1\.4\.2' "helm show chart --version '~1.4'" helm show chart "$base/shop" --version '~1.4' --plain-http
    row -g '^version: 2\.0\.0-rc\.1' "helm show chart --devel" helm show chart "$base/shop" --devel --plain-http
    row "helm pull" pulled "$base/shop" "$dir/shop-1.4.2.tgz"
    row -g '1\.5\.0' "helm pull --version '^1'" helm pull "$base/shop" --version '^1' --plain-http --destination "$dir"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF --version '^1'" \
        verify "${TRUSTED[@]}" "$base/shop" --version '^1'
    row "the same newest version for Helm and for us" same_newest "$base/shop"
    NEEDS="$2 oras" row -g '^1\.5\.0$' "oras repo tags" oras repo tags --plain-http "${base#oci://}/shop"
    NEEDS="$2 oras" row -g 'application/vnd\.dev\.sigstore\.bundle' "oras discover finds the signature" \
        oras discover --plain-http "${base#oci://}/shop:1.4.2"
    NEEDS="$2 oras" row "oras copy --recursive" oras copy --recursive --from-plain-http --to-plain-http \
        "${base#oci://}/shop:1.4.2" "$KIT_REGISTRY/copied/$2-${1##*:}/shop:1.4.2"
    NEEDS="$2 oras" row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF, the copy" \
        verify "${TRUSTED[@]}" "oci://$KIT_REGISTRY/copied/$2-${1##*:}/shop:1.4.2"
}

oras() { timeout 120 "${PEER[oras]}" "$@"; }
USES+=([oras]=oras)

same_template() {
    [ -s "$1" ] && helm template shop "$2" --version 1.4.2 --plain-http 2>/dev/null | diff "$1" -
}

same_newest() {
    local theirs ours
    theirs=$(helm show chart "$1" --plain-http 2>/dev/null | sed -n 's/^version: //p')
    ours=$(verify "${TRUSTED[@]}" "$1" -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["results"][0]["chart"]["version"])')
    echo "helm: $theirs, helm-sigstore: $ours"
    [ -n "$theirs" ] && [ "$theirs" = "$ours" ]
}
