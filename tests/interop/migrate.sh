# shellcheck shell=bash
# From a repository with an index.yaml to signed charts in a registry, by real Helm. Sourced by `run`.

migrate() {
    local helm port dir chart
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    port=$(free_ports 1)
    dir=$WORK/index
    mkdir -p "$dir"
    [ -z "${MISSING[$CHART_HELM]:-}" ] || return 0
    cp "$CHARTS/web-1.4.2.tgz" "$dir/"
    as_helm "$CHART_HELM" "$WORK/homes/index"
    helm repo index "$dir" --url "http://127.0.0.1:$port" >/dev/null || { failed_before "helm repo index" "failed"; return; }
    python3 -m http.server --bind 127.0.0.1 --directory "$dir" "$port" >"$dir.log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for_answer "$dir.log" "http://127.0.0.1:$port/index.yaml" $! || { failed_before "index.yaml" "is not served"; return; }
    for helm in helm-4 helm-3; do
        PLACE=$helm
        NEEDS=$helm
        SIGNER=-
        LOG=-
        as_helm "$helm" "$WORK/homes/migrate-$helm"
        row "helm repo add" helm repo add acme "http://127.0.0.1:$port"
        row "helm pull --prov" helm pull acme/web --version 1.4.2 --prov --destination "$HELM_DATA_HOME"
        chart=$HELM_DATA_HOME/web-1.4.2.tgz
        LOG=v1
        as_signer
        SIGNER="helm sigstore push --sign"
        row -g '^Signed: ' "(pushes and signs)" helm_sigstore push "$chart" "oci://$KIT_REGISTRY/migrate-$helm" --sign --plain-http \
            --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" --identity-token "$TOKEN"
        row -g '\(signed: manifest and chart\)' "helm sigstore verify REF" helm_sigstore verify \
            "oci://$KIT_REGISTRY/migrate-$helm/web:1.4.2" --plain-http --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}"
        row -g '^Chart Hash Verified:' "helm sigstore verify FILE --repository" helm_sigstore verify "$dir/web-1.4.2.tgz" \
            --repository "oci://$KIT_REGISTRY/migrate-$helm" --plain-http --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}"
        row -g '^Digest: sha256:' "helm pull from the registry" helm pull "oci://$KIT_REGISTRY/migrate-$helm/web" --version 1.4.2 \
            --plain-http --destination "$WORK"
        row "the same archive" cmp "$WORK/web-1.4.2.tgz" "$dir/web-1.4.2.tgz"
    done
}
