# shellcheck shell=bash
# From a repository with an index.yaml to signed charts in a registry, by real Helm. Sourced by `run`.

migrate() {
    local helm port dir file chart ring=$WORK/migrate.gpg
    command -v gpg >/dev/null || MISSING[gpg]="gpg is not installed"
    SIGNER=- PLACE="index.yaml" LOG=-
    not_measured "from an index.yaml into a registry" "$CHART_HELM" gpg && return
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    port=$(free_ports 1)
    dir=$WORK/index
    as_helm "$CHART_HELM" "$WORK/homes/index"
    signed_for_index "$dir" "$ring" || { failed_before "helm package --sign" "failed"; return; }
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
        row "the provenance came along" cmp "$chart.prov" "$dir/web-1.4.2.tgz.prov"
        # One that has none goes the same way.
        row "helm pull --prov: there is none" helm pull acme/plain --version 1.4.2 --prov --destination "$HELM_DATA_HOME"
        LOG=v1
        as_signer
        SIGNER="helm sigstore push --sign"
        row -g '^Signed: ' "(pushes and signs)" helm_sigstore push "$chart" "oci://$KIT_REGISTRY/migrate-$helm" --sign --plain-http \
            --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" --identity-token "$TOKEN"
        row -g '\(signed: manifest, chart and provenance\)' "helm sigstore verify REF" helm_sigstore verify \
            "oci://$KIT_REGISTRY/migrate-$helm/web:1.4.2" --plain-http --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}"
        row -g '^Using Key With Fingerprint: ' "helm sigstore verify REF --prov require --keyring" helm_sigstore verify \
            "oci://$KIT_REGISTRY/migrate-$helm/web:1.4.2" --plain-http --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" \
            --prov require --keyring "$ring"
        row -g '^Signed: ' "(pushes and signs one without provenance)" helm_sigstore push "$HELM_DATA_HOME/plain-1.4.2.tgz" \
            "oci://$KIT_REGISTRY/migrate-$helm" --sign --plain-http --trusted-root "$KIT_TRUSTED_ROOT" \
            --signing-config "$KIT_SIGNING_CONFIG" --identity-token "$TOKEN"
        row -e 5 "helm sigstore verify REF --prov require: there is none" helm_sigstore verify \
            "oci://$KIT_REGISTRY/migrate-$helm/plain:1.4.2" --plain-http --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" \
            --prov require --keyring "$ring"
        row -g '^Chart Hash Verified:' "helm sigstore verify FILE --repository" helm_sigstore verify "$dir/web-1.4.2.tgz" \
            --repository "oci://$KIT_REGISTRY/migrate-$helm" --plain-http --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}"
        row -g '^Digest: sha256:' "helm pull from the registry" helm pull "oci://$KIT_REGISTRY/migrate-$helm/web" --version 1.4.2 \
            --plain-http --prov --destination "$WORK"
        row "the same archive" cmp "$WORK/web-1.4.2.tgz" "$dir/web-1.4.2.tgz"
        row "the same provenance" cmp "$WORK/web-1.4.2.tgz.prov" "$dir/web-1.4.2.tgz.prov"
        row -g '^Chart Hash Verified: ' "helm pull --verify from the registry" helm pull --plain-http --verify --keyring "$ring" \
            "oci://$KIT_REGISTRY/migrate-$helm/web" --version 1.4.2 --destination "$HELM_DATA_HOME"
    done
}

# signed_for_index FOLDER RING: a chart with its provenance by Helm itself, and one without.
signed_for_index() {
    local secret=$WORK/migrate-secret.gpg
    mkdir -p "$1"
    GPG_HOME=$WORK/migrate-gnupg
    mkdir -m 700 -p "$GPG_HOME"
    {
        gpg_here --quick-gen-key 'Moved <moved@example.com>' rsa3072 sign never &&
            gpg_here --export >"$2" && gpg_here --export-secret-keys >"$secret" && printf '\n' >"$WORK/migrate-passphrase" &&
            cp "$CHARTS/plain-1.4.2.tgz" "$1/" && tar -xzf "$CHARTS/web-1.4.2.tgz" -C "$WORK" &&
            helm package "$WORK/web" --version 1.4.2 --sign --key 'Moved <moved@example.com>' --keyring "$secret" \
                --passphrase-file "$WORK/migrate-passphrase" --destination "$1"
    } >"$OUTPUT" 2>&1 || { tail -n 3 "$OUTPUT" >&2; return 1; }
}
