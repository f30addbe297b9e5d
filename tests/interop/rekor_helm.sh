# shellcheck shell=bash
# Helm's provenance files in a real Rekor v1: by us and by Rekor's own client, each reading what the other wrote; and by
# the older plugin, where it can be had. Sourced by `run`.

rekor_cli() { HOME=$WORK/rekor-cli timeout 120 "${PEER[rekor-cli]}" --rekor_server "$STACK_REKOR_V1_URL" --store_tree_state=false "$@"; }
go_plugin() { timeout 120 "${PEER[go-plugin]}" "$@" --rekor-server "$STACK_REKOR_V1_URL"; }
USES+=([rekor_cli]=rekor-cli [go_plugin]=go-plugin)

rekor_upload() { helm_sigstore rekor upload --trusted-root "$STACK_TRUSTED_ROOT" "$@"; }
rekor_search() { helm_sigstore rekor search --trusted-root "$STACK_TRUSTED_ROOT" "$@"; }
# The chart is signed in Sigstore too: without that there is no exit 0.
rekor_verify() { helm_sigstore verify --trusted-root "$STACK_TRUSTED_ROOT" "${TRUSTED[@]}" --rekor-helm "$@"; }

blob_in_real_log() {
    SIGSTORE_REKOR_PUBLIC_KEY=$WORK/rekor-v1/rekor.pub tool "$1" sign-blob --yes --new-bundle-format=false \
        $([ "$1" = cosign-2 ] || echo --use-signing-config=false) --rekor-url "$STACK_REKOR_V1_URL" \
        --key "$KEYS/theirs.key" --output-signature "$2" "$3"
}

sha_of() { sha256sum <"$1" | cut -d' ' -f1; }

# The identifier of the only entry of Rekor's type about a file, as we found it.
uuid_of() { rekor_search "$1" | grep -B 1 'Type: helm' | sed -n 's/^Rekor UUID: //p'; }

rekor_helm() {
    local helm user file ring
    SIGNER=- PLACE="real Rekor v1" LOG="v1 real"
    command -v gpg >/dev/null || MISSING[gpg]="gpg is not installed"
    # shellcheck disable=SC2086 # words
    not_measured "Fulcio, Rekor v1 with Trillian, timestamp authority" $STACK_PEERS $REKOR_V1_PEERS gpg "$CHART_HELM" && return
    start_stack && start_rekor_v1 || { failed_before "Rekor v1 with Trillian" "did not start"; return; }
    KIT_TRUSTED_ROOT=$STACK_TRUSTED_ROOT KIT_SIGNING_CONFIG=$STACK_SIGNING_CONFIG
    PROVS=$WORK/rekor-provs
    mkdir -p "$WORK/rekor-cli"
    row "(makes keys)" gpg_keys
    gpg_here --export >"$WORK/ring.gpg"
    gpg_here --export --armor rsa@example.com >"$WORK/rsa.asc"
    gpg_here --export-secret-keys rsa@example.com >"$WORK/secret.gpg"
    as_signer

    for helm in helm-4 helm-3; do
        SIGNER="$helm package --sign"
        NEEDS="gpg $helm"
        as_helm "$helm" "$WORK/homes/rekor-$helm"
        mkdir -p "$PROVS/$helm"
        row "helm create" helm create "$PROVS/$helm/web"
        # Two charts of one name and version, with a digest each.
        echo "# $helm" >>"$PROVS/$helm/web/values.yaml"
        row "helm package --sign" helm_packages "$helm"
        rm -rf "$PROVS/$helm/web"
    done

    # Ours, read by others.
    SIGNER="helm-sigstore rekor upload"
    NEEDS="gpg helm-4"
    file=$PROVS/helm-4/web-1.4.2.tgz
    row -e 6 -g 'no entry in the log' "rekor search, before" rekor_search "$file"
    row -g '^Created Helm entry at index [0-9]+, available at: http' "(uploads)" rekor_upload "$file" --keyring "$WORK/ring.gpg"
    row -g '^Entry already exists: http' "(uploads again, by the old names)" helm_sigstore upload "$file" \
        --trusted-root "$STACK_TRUSTED_ROOT" --public-key "$WORK/rsa.asc" --rekor-server "$STACK_REKOR_V1_URL"
    row -g '^  Type: helm 0.0.1$' "rekor search FILE" rekor_search "$file"
    row -g '^  Type: helm 0.0.1$' "rekor search --sha" rekor_search --sha "$(sha_of "$file")"
    row -g '^Rekor UUID: ' "rekor search --email" rekor_search --email rsa@example.com
    row -g "$(uuid_of "$file")" "rekor-cli search" rekor_cli search --sha "$(sha_of "$file")"
    row -g 'HelmObj' "rekor-cli get" rekor_cli get --uuid "$(uuid_of "$file")"
    row -g 'Entry Hash: ' "rekor-cli verify" rekor_cli verify --type helm --artifact "$file.prov" --public-key "$WORK/rsa.asc"
    row -g "$(uuid_of "$file")" "Go plugin: search" go_plugin search "$file"
    row -g 'Chart Verified Successfully' "Go plugin: verify" go_plugin verify "$file" --public-key "$WORK/rsa.asc"
    row -g '^Signed: ' "(signs the chart too)" sign "$file"
    row -g '^Provenance logged in: localhost' "verify FILE --rekor-helm" rekor_verify "$file" --keyring "$WORK/ring.gpg"
    row -g '^Chart Verified Successfully' "rekor verify FILE" helm_sigstore rekor verify "$file" \
        --trusted-root "$STACK_TRUSTED_ROOT" --public-key "$WORK/rsa.asc"
    row -g '^  Type: dsse 0.0.1$' "rekor search: our bundle too" rekor_search "$file"
    row -g '^Pushed: ' "(pushes)" helm_sigstore push "$file" "oci://$KIT_REGISTRY/rekor" --plain-http
    row -g '^Entry already exists' "rekor upload REF" rekor_upload "oci://$KIT_REGISTRY/rekor/web:1.4.2" --plain-http \
        --keyring "$WORK/ring.gpg"
    row -g '^  Type: helm 0.0.1$' "rekor search REF" rekor_search "oci://$KIT_REGISTRY/rekor/web:1.4.2" --plain-http

    # Others', read by us.
    SIGNER="rekor-cli upload"
    NEEDS="gpg helm-3 rekor-cli"
    file=$PROVS/helm-3/web-1.4.2.tgz
    row -g '^Signed: ' "(signs the chart too)" sign "$file"
    row -e 5 -g 'provenance is not in the log' "verify FILE --rekor-helm, before" rekor_verify "$file" --keyring "$WORK/ring.gpg"
    row -g 'Created entry at index' "(uploads)" rekor_cli upload --type helm --artifact "$file.prov" --public-key "$WORK/rsa.asc"
    row -g '^Provenance logged in: localhost' "verify FILE --rekor-helm" rekor_verify "$file" --keyring "$WORK/ring.gpg"
    row -g '^Chart Verified Successfully' "rekor verify FILE" helm_sigstore rekor verify "$file" \
        --trusted-root "$STACK_TRUSTED_ROOT" --public-key "$WORK/rsa.asc"
    row -g '^Entry already exists: http' "rekor upload" rekor_upload "$file" --keyring "$WORK/ring.gpg"
    SIGNER="Go plugin: upload" NEEDS="gpg helm-3 go-plugin"
    mkdir -p "$PROVS/go"
    as_helm helm-3 "$WORK/homes/rekor-helm-3"
    row "helm create" helm create "$PROVS/go/web"
    row "helm package --sign" helm_packages go
    file=$PROVS/go/web-1.4.2.tgz
    row -g 'Created Helm entry at index' "(uploads)" go_plugin upload "$file" --public-key "$WORK/rsa.asc"
    row -g '^  Type: helm 0.0.1$' "rekor search FILE" rekor_search "$file"
    row -g '^Entry already exists: http' "rekor upload" rekor_upload "$file" --keyring "$WORK/ring.gpg"

    # Other keys, as GnuPG makes them.
    NEEDS=gpg
    for user in ed sub; do
        SIGNER="GnuPG, $user"
        row "(signs)" prov_by "$user"
        row -g '^(Created Helm entry at index|Entry already exists)' "rekor upload" rekor_upload "$PROVS/$user/web-1.4.2.tgz" \
            --keyring "$WORK/ring.gpg"
    done
    SIGNER="GnuPG, old (expired since)"
    row "(signs)" prov_by old 20240201T000000
    row -g '^Created Helm entry at index' "rekor upload" rekor_upload "$PROVS/old/web-1.4.2.tgz" --keyring "$WORK/ring.gpg"
    SIGNER="GnuPG, SHA-1"
    row "(signs)" prov_by rsa '' SHA1
    row -e 5 -g 'SHA1, which is weak' "rekor upload: nothing is sent" rekor_upload "$PROVS/rsa/web-1.4.2.tgz" \
        --keyring "$WORK/ring.gpg"

    # A signature over a chart in a file of its own (see blobs.sh), whose entry such a log finds by the hash of its content.
    make_keys
    PLACE="real Rekor v1" LOG="v1 real"
    local peer
    for peer in cosign cosign-2; do
        SIGNER="${TOOL[$peer]} sign-blob --key" NEEDS="$CHART_HELM $peer"
        file=$CHARTS/web-1.4.2.tgz
        row "(signs)" blob_in_real_log "$peer" "$WORK/$peer.sig" "$file"
        row -g '^Logged in: localhost:' "helm-sigstore verify --signature --key" helm_sigstore verify "$file" \
            --signature "$WORK/$peer.sig" --key "$KEYS/theirs.pub" --trusted-root "$STACK_TRUSTED_ROOT"
        row -e 5 -g '^error: log entry does not verify' "helm-sigstore verify, with another root" \
            helm_sigstore verify "$file" --signature "$WORK/$peer.sig" --key "$KEYS/theirs.pub" \
            --trusted-root embedded --rekor-server "$STACK_REKOR_V1_URL"
        file=$CHARTS/api-1.4.2.tgz
        row "(signs without the log)" tool "$peer" sign-blob --yes --new-bundle-format=false \
            $([ "$peer" = cosign-2 ] || echo --use-signing-config=false) --tlog-upload=false --key "$KEYS/theirs.key" \
            --output-signature "$WORK/$peer.none.sig" "$file"
        row -e 5 -g '^  looked in  http://localhost:' "helm-sigstore verify --signature --key: not there" helm_sigstore verify \
            "$file" --signature "$WORK/$peer.none.sig" --key "$KEYS/theirs.pub" --trusted-root "$STACK_TRUSTED_ROOT"
    done
    NEEDS=gpg

    # Whom we believe, and logs that have no such entries.
    SIGNER=-
    file=$PROVS/ed/web-1.4.2.tgz
    row -e 5 -g 'the trusted root does not know the log' "rekor search, with another root" helm_sigstore rekor search "$file" \
        --trusted-root embedded --rekor-server "$STACK_REKOR_V1_URL"
    PLACE="real Rekor v2" LOG="v2 real"
    row -e 2 -g 'log keeps no provenance files' "rekor upload" rekor_upload "$file" --keyring "$WORK/ring.gpg" \
        --rekor-server "$STACK_REKOR_URL"
    row -e 2 -g 'log keeps no provenance files' "rekor search" rekor_search "$file" --rekor-server "$STACK_REKOR_URL"
}
