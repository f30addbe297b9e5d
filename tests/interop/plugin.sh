# shellcheck shell=bash
# The clone as a plugin of Helm 3 and Helm 4. Sourced by `run`.

# The last commit, as whoever clones the repository gets it. Cargo knows packages by their place in the workspace and
# files by their time: a clone of what lies here has its times too, and is not built again; any other has a folder of its
# own to build in, so that its program and ours are not taken for each other.
clone_repository() {
    CLONE=$WORK/helm-sigstore
    git clone --quiet --no-hardlinks "$ROOT" "$CLONE" || return 1
    if [ -n "$(git -C "$ROOT" status --porcelain)" ]; then
        echo "note: the plugin is the last commit, without the changes since" >&2
        export CARGO_TARGET_DIR=$TARGET/interop
        return
    fi
    (cd "$CLONE" && git ls-files -z | xargs -0 -n 1 sh -c 'touch -r "$0/$1" "$1"' "$ROOT")
}

# plugin_in helm-4|helm-3: everything about the plugin in one major.
plugin_in() {
    local helm=$1 base="oci://$HOST/plugin-$1" chart=$CHARTS/web-1.4.2.tgz
    local other=$WORK/$1-other
    local bundle=$WORK/$1.sigstore.json version
    version=$(sed -n 's/^version: *"\(.*\)"/\1/p' "$CLONE/plugin.yaml")
    PLACE=$helm
    SIGNER=-
    LOG=-
    NEEDS=$helm
    [ -d "$(rustc --print target-libdir --target "$(uname -m)-unknown-linux-musl")" ] &&
        command -v musl-gcc >/dev/null || MISSING[musl]="rustup's target for musl, or its C compiler"
    # Spaces, as on many a Mac.
    as_helm "$helm" "$WORK/homes/$helm with spaces"

    row -g 'is in place' "helm plugin install CLONE (builds it)" helm plugin install "$CLONE"
    row -g "^sigstore[[:space:]]+$version[[:space:]]" "helm plugin list" helm plugin list
    row "helm plugin list: no warning" silent_about_warnings helm plugin list
    row -g "^helm-sigstore $version\$" "helm sigstore version" helm sigstore version
    NEEDS="$helm musl"
    row "the program needs no library of the machine" is_static "$CLONE/bin/helm-sigstore"
    NEEDS=$helm
    row -g 'sigstore' "helm help" helm help
    row -g 'Exit codes' "helm sigstore --help" helm sigstore --help

    LOG=v1
    as_signer
    row -g '^Digest: sha256:' "helm push" helm push --plain-http "$chart" "$base"
    row -g '^Digest: sha256:' "helm push of an unsigned chart" helm push --plain-http "$CHARTS/plain-1.4.2.tgz" "$base"
    SIGNER="helm sigstore sign FILE"
    row -g '^Attached: sha256:' "(signs)" helm sigstore sign "$chart" --repository "$base" --plain-http \
        --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" --identity-token "$TOKEN" \
        --bundle-out "$bundle"
    local ours=(--plain-http --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}")
    local verified='\(signed: manifest and chart\)'
    row -g "$verified" "helm sigstore verify REF" helm sigstore verify "$base/web:1.4.2" "${ours[@]}"
    row -g "$verified" "helm --debug sigstore verify" helm --debug sigstore verify "$base/web:1.4.2" "${ours[@]}"
    row -g "$verified" "helm sigstore verify --debug" helm sigstore verify --debug "$base/web:1.4.2" "${ours[@]}"
    row -g "$verified" "helm -n x sigstore verify" helm -n x sigstore verify "$base/web:1.4.2" "${ours[@]}"
    row -g "$verified" "helm sigstore verify -n x" helm sigstore verify -n x "$base/web:1.4.2" "${ours[@]}"
    row -g "$verified" "helm --qps 5 sigstore verify" helm --qps 5 sigstore verify "$base/web:1.4.2" "${ours[@]}"
    row -g "$verified" "helm sigstore verify --qps 5" helm sigstore verify --qps 5 "$base/web:1.4.2" "${ours[@]}"
    row -g "$verified" "flags from the environment" env HELM_SIGSTORE_PLAIN_HTTP=true \
        HELM_SIGSTORE_TRUSTED_ROOT="$KIT_TRUSTED_ROOT" HELM_SIGSTORE_CERTIFICATE_IDENTITY="$IDENTITY" \
        HELM_SIGSTORE_CERTIFICATE_OIDC_ISSUER="$ISSUER" "$HELM" sigstore verify "$base/web:1.4.2"
    # The same before and behind the plugin's name when it signs.
    row -g '^Digest: sha256:' "helm push of another chart" helm push --plain-http "$CHARTS/cache-1.4.2.tgz" "$base"
    local signing=("$base/cache:1.4.2" --plain-http --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG"
        --identity-token "$TOKEN" --signature-format bundle)
    SIGNER="helm sigstore sign REF"
    row -g '^Attached: sha256:' "helm --debug sigstore sign" helm --debug sigstore sign "${signing[@]}"
    row -g '^Attached: sha256:' "helm sigstore sign --debug" helm sigstore sign --debug "${signing[@]}"
    row -g '^Attached: sha256:' "helm -n x sigstore sign" helm -n x sigstore sign "${signing[@]}"
    row -g '^Attached: sha256:' "helm sigstore sign -n x" helm sigstore sign -n x "${signing[@]}"
    row -g '^Attached: sha256:' "helm --qps 5 sigstore sign" helm --qps 5 sigstore sign "${signing[@]}"
    row -g '^Attached: sha256:' "helm sigstore sign --qps 5" helm sigstore sign --qps 5 "${signing[@]}"
    row -g "$verified" "helm sigstore verify REF, what was signed so" helm sigstore verify "$base/cache:1.4.2" "${ours[@]}"
    SIGNER="helm sigstore sign FILE"
    row "helm pull" helm pull "$base/web" --version 1.4.2 --plain-http --destination "$HELM_DATA_HOME"
    row -g '^Chart Hash Verified:' "helm sigstore verify FILE, as pulled" helm sigstore verify \
        "$HELM_DATA_HOME/web-1.4.2.tgz" --bundle "$bundle" --offline "${ours[@]}"
    row -e 2 "exit code of a usage error" helm sigstore verify
    row -e 3 "exit code of an unsigned chart" helm sigstore verify "$base/plain:1.4.2" "${ours[@]}"
    row -e 4 "exit code of a registry that is not there" helm sigstore verify "oci://127.0.0.1:9/web:1.4.2" "${ours[@]}"
    row -e 5 "exit code of a wrong signer" helm sigstore verify "$base/web:1.4.2" --plain-http \
        --trusted-root "$KIT_TRUSTED_ROOT" "${STRANGER[@]}"
    row -e 6 "exit code of a missing version" helm sigstore verify "$base/web:9.9.9" "${ours[@]}"

    SIGNER=-
    LOG=-
    completes "$base"
    row -g 'Uninstalled plugin: sigstore' "helm plugin uninstall" helm plugin uninstall sigstore
    row "helm plugin uninstall: the clone is still there" test -f "$CLONE/plugin.yaml"
    # From here on with the program that was built above.
    local binary=$CLONE/bin/helm-sigstore git=(helm plugin install "file://$CLONE")
    [ "$helm" != helm-4 ] || git+=(--verify=false)
    cp "$binary" "$WORK/$helm-binary" 2>/dev/null
    export HELM_SIGSTORE_BINARY=$WORK/$helm-binary
    row -g 'is in place' "helm plugin install URL (git)" "${git[@]}"
    row -g 'is in place' "helm plugin update" helm plugin update sigstore
    row -g "^helm-sigstore $version\$" "helm sigstore version, after the update" helm sigstore version
    helm plugin uninstall sigstore >/dev/null 2>&1
    HELM_SIGSTORE_BINARY=/bin/false
    row -e refused -g 'run: helm plugin uninstall sigstore and retry' "helm plugin install, of a wrong program" \
        helm plugin install "$CLONE"
    row "helm plugin uninstall, after that" helm plugin uninstall sigstore
    unset HELM_SIGSTORE_BINARY
    downloads "$WORK/$helm-binary" "$version"
    export HELM_SIGSTORE_BINARY=$WORK/$helm-binary

    mkdir -p "$other"
    printf 'name: sigstore # another\nversion: 0.0.9\nusage: u\ndescription: d\nplatformCommand: [{command: echo, args: [other]}]\n' \
        >"$other/plugin.yaml"
    row "helm plugin install, of another sigstore" helm plugin install "$other"
    row -e refused -g 'another plugin is named sigstore: .*-other' "helm plugin install CLONE, beside it" \
        helm plugin install "$CLONE"
    row -e refused -g 'helm plugin uninstall sigstore' "helm plugin install URL, beside it" "${git[@]}"
    row "the directory is gone" only_plugin "$helm-other"
    row "the clone is still there" test -f "$CLONE/plugin.yaml"
    row -g '^other' "the other plugin still works" helm sigstore
    unset HELM_SIGSTORE_BINARY
}

# It names no dynamic loader.
is_static() { ! head -c 4096 "$1" | grep -aq '/ld-'; }

# The installer for Windows, in whatever PowerShell there is.
installs_by_powershell() {
    local folder=$WORK/powershell version
    version=$(sed -n 's/^version: *"\(.*\)"/\1/p' "$CLONE/plugin.yaml")
    SIGNER=-
    LOG=-
    PLACE=PowerShell
    NEEDS=pwsh
    mkdir -p "$folder"
    cp "$CLONE/plugin.yaml" "$CLONE/install-binary.ps1" "$folder"
    row -g "helm-sigstore $version is in place" "install-binary.ps1, of a program that is there" \
        env HELM_SIGSTORE_BINARY="$PRODUCT" timeout 120 "${PEER[pwsh]:-}" -NoProfile -File "$folder/install-binary.ps1"
    NEEDS=
}

# What Helm's own completion makes of completion.yaml and plugin.complete; the charts lie below $1.
completes() {
    row -g '^verify$' "helm __complete sigstore" helm __complete sigstore ver
    row -g '^generate$' "helm __complete sigstore key" helm __complete sigstore key ""
    row -g '^--certificate-identity-regexp$' "helm __complete sigstore verify --cert…" \
        helm __complete sigstore verify --certificate-identity-
    row "no flag is offered twice" offers_once helm __complete sigstore verify --
    row -g '^json$' "helm __complete sigstore verify -o" helm __complete sigstore verify -o ""
    row -g "^$1/web:1.4.2\$" "helm __complete sigstore verify REPOSITORY:" \
        env HELM_SIGSTORE_PLAIN_HTTP=true "$HELM" -n x __complete sigstore verify "$1/web:"
    row -g '^:4$' "the same of a registry that is not there" timeout 10 "$HELM" __complete sigstore verify "oci://127.0.0.1:9/web:"
    row -g 'complete' "helm completion bash" helm completion bash
}

offers_once() {
    local repeated
    repeated=$("$@" 2>/dev/null | cut -f 1 | sort | uniq -d)
    echo "repeated: $repeated"
    [ -z "$repeated" ]
}

# The program $1 of version $2, downloaded by the hook from a server on loopback.
downloads() {
    local folder=$WORK/release name port digest pid
    name=helm-sigstore-$2-linux-$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
    mkdir -p "$folder"
    cp "$1" "$folder/$name"
    digest=$(sha256sum <"$1" | cut -d ' ' -f 1)
    port=$(free_ports 1)
    (cd "$folder" && exec python3 -m http.server "$port" --bind 127.0.0.1) >"$folder.log" 2>&1 </dev/null &
    pid=$!
    SERVERS+=("$pid")
    wait_for_answer "$folder.log" "http://127.0.0.1:$port/" "$pid" || { failed_before "download" "no server"; return; }
    export HELM_SIGSTORE_DOWNLOAD_URL=http://127.0.0.1:$port
    rm -rf "$CLONE/bin"
    row -e refused -g "digest of $name is not known" "helm plugin install, download without a digest" \
        helm plugin install "$CLONE"
    helm plugin uninstall sigstore >/dev/null 2>&1
    export HELM_SIGSTORE_SHA256=${digest//[0-7]/8}
    row -e refused -g "found     sha256:$digest" "helm plugin install, download of another digest" \
        helm plugin install "$CLONE"
    row "nothing was put in place" test -z "$(ls -A "$CLONE/bin")"
    helm plugin uninstall sigstore >/dev/null 2>&1
    HELM_SIGSTORE_SHA256=$digest
    row -g 'is in place' "helm plugin install, download" helm plugin install "$CLONE"
    row -g "^helm-sigstore $2\$" "helm sigstore version, as downloaded" helm sigstore version
    helm plugin uninstall sigstore >/dev/null 2>&1
    unset HELM_SIGSTORE_SHA256
    printf '%s  other\n%s *%s\r\n' "${digest//[0-7]/8}" "$digest" "$name" >"$CLONE/checksums.txt"
    rm -rf "$CLONE/bin"
    row -g 'is in place' "helm plugin install, download by checksums.txt" helm plugin install "$CLONE"
    rm "$CLONE/checksums.txt"
    helm plugin uninstall sigstore >/dev/null 2>&1
    HELM_SIGSTORE_DOWNLOAD_URL=http://r.invalid
    HELM_SIGSTORE_SHA256=$digest
    export HELM_SIGSTORE_SHA256
    rm -rf "$CLONE/bin"
    row -e refused -g 'does not begin with https://' "helm plugin install, download over http" helm plugin install "$CLONE"
    helm plugin uninstall sigstore >/dev/null 2>&1
    unset HELM_SIGSTORE_DOWNLOAD_URL HELM_SIGSTORE_SHA256
    kill "$pid" 2>/dev/null
}

# Everything that one Helm keeps lies in $2.
as_helm() {
    HELM=${PEER[$1]:-}
    export HELM_DATA_HOME=$2/data HELM_CONFIG_HOME=$2/config HELM_CACHE_HOME=$2/cache
    mkdir -p "$HELM_DATA_HOME"
}

helm() { timeout 1800 "$HELM" "$@"; }

silent_about_warnings() {
    "$@" && ! "$@" 2>&1 | grep -i warn
}

only_plugin() {
    [ "$(ls "$HELM_DATA_HOME/plugins")" = "$1" ]
}
