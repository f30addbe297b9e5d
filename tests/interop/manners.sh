# shellcheck shell=bash
# Registries with manners of their own: one that is read-only, one that warns, and one whose tokens end in mid-run.
# Sourced by `run`.

manners() {
    LOG=v1
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    as_signer
    local name
    for name in debian distribution; do
        SIGNER=- PLACE="${name/debian/distribution 2.8}, read-only"
        PLACE=${PLACE/#distribution,/distribution 3.1,}
        not_measured "sign and verify" "$name" "$CHART_HELM" || read_only "$name"
        PLACE=${PLACE/read-only/tokens}
        not_measured "sign and verify" "$name" openssl "$CHART_HELM" || tokens_that_end "$name"
    done
    SIGNER=- PLACE="olareg, warnings"
    not_measured "sign and verify" olareg "$CHART_HELM" || warnings
}

# start_configured NAME FOLDER YAML…: CNCF distribution on the folder's storage; sets REGISTRY and REGISTRY_PID.
start_configured() {
    local name=$1 dir=$2 line
    shift 2
    mkdir -p "$dir"
    printf '%s\n' 'version: 0.1' 'log: {level: info}' 'http: {addr: "127.0.0.1:0"}' "$@" >"$dir/config.yml"
    : >"$dir/log"
    OTEL_TRACES_EXPORTER=none "${PEER[$name]}" serve "$dir/config.yml" >"$dir/log" 2>&1 </dev/null &
    REGISTRY_PID=$!
    SERVERS+=("$REGISTRY_PID")
    line=$(wait_for "$dir/log" 'listening on 127\.0\.0\.1:[0-9]+' "$REGISTRY_PID") || return 1
    REGISTRY=$(grep -oE '127\.0\.0\.1:[0-9]+' <<<"$line" | tail -n 1)
}

# read_only NAME: what was signed before verifies; nothing is written, and who would sign is told why.
read_only() {
    local dir=$WORK/read-only-$1 base
    start_configured "$1" "$dir" "storage: {filesystem: {rootdirectory: $dir/storage}}" ||
        { failed_before "$1" "did not start"; return; }
    base=oci://$REGISTRY/acme/kept
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$base"
    row -g '^Digest: sha256:' "push of api" push "$CHARTS/api-1.4.2.tgz" "$base"
    SIGNER="helm-sigstore sign REF"
    row -g '^Attached: sha256:' "(signs, before)" sign "$base/web:1.4.2"
    kill "$REGISTRY_PID"
    wait "$REGISTRY_PID" 2>/dev/null
    start_configured "$1" "$dir" \
        "storage: {filesystem: {rootdirectory: $dir/storage}, maintenance: {readonly: {enabled: true}}}" ||
        { failed_before "$1" "did not start"; return; }
    base=oci://$REGISTRY/acme/kept
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF" verify "${TRUSTED[@]}" "$base/web:1.4.2"
    row -e 4 -g ' 405' "helm-sigstore sign REF: refused" sign "$base/api:1.4.2"
    row -e 4 -g ' 405' "helm-sigstore attest REF: refused" \
        attest "$base/web:1.4.2" --predicate "$KIT_TRUSTED_ROOT" --predicate-type https://acme.example/x/v1
    row -e 3 -g '^error: unsigned' "helm-sigstore verify REF: nothing half attached" verify "${TRUSTED[@]}" "$base/api:1.4.2"
    row -e refused "helm-sigstore push: refused" helm_sigstore push --plain-http "$CHARTS/cache-1.4.2.tgz" "$base"
}

# tokens_that_end NAME: a run over a slow line takes longer than a token lasts, whatever the token server says of it.
tokens_that_end() {
    local dir=$WORK/tokens-$1 says port base slow chart=web
    mkdir -p "$dir"
    openssl req -x509 -newkey rsa:2048 -noenc -keyout "$dir/key.pem" -out "$dir/certificate.pem" -days 2 \
        -subj /CN=interop-tokens >"$dir/openssl.log" 2>&1 || { failed_before openssl "makes no certificate"; return; }
    for says in 2 300; do
        port=$(free_ports 1)
        : >"$dir/tokens"
        python3 "$HERE/token_server.py" "$port" "$dir/key.pem" "$dir/certificate.pem" 2 "$says" >"$dir/tokens" 2>&1 </dev/null &
        SERVERS+=($!)
        wait_for "$dir/tokens" '^ready' $! >/dev/null || { failed_before "token server" "did not start"; return; }
        start_configured "$1" "$dir" "storage: {filesystem: {rootdirectory: $dir/storage}}" \
            "auth: {token: {realm: \"http://127.0.0.1:$port/token\", service: interop, issuer: interop, rootcertbundle: $dir/certificate.pem}}" ||
            { failed_before "$1" "did not start"; return; }
        slow_line "$REGISTRY" 300 || { failed_before "kit proxy" "did not start"; return; }
        base=oci://$REGISTRY/acme/short slow=oci://$SLOW/acme/short
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
        SIGNER="helm-sigstore sign REF"
        row -g '^renewed: [1-9]' "(signs with tokens of 2 s, said: $says s)" \
            with_tokens "$dir/tokens" sign "$slow/$chart:1.4.2"
        row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF" verify "${TRUSTED[@]}" "$slow/$chart:1.4.2"
        # Two turns of eight: one may end before the token does.
        for _ in $(seq 16); do echo "$slow/$chart:1.4.2"; done >"$dir/list"
        row -g '^renewed: [1-9]' "helm-sigstore verify @LIST (2 s, said: $says s)" \
            with_tokens "$dir/tokens" verify "${TRUSTED[@]}" "@$dir/list"
        chart=api
    done
}

# with_tokens LOG COMMAND…: how many tokens it asked for that it had had already.
with_tokens() {
    local log=$1 before code=0
    shift
    before=$(wc -l <"$log")
    "$@" || code=$?
    echo "renewed: $(tail -n "+$((before + 1))" "$log" | sort | uniq -c | awk '{more += $1 - 1} END {print more + 0}')"
    return "$code"
}

# What a registry has to say is passed on, and changes nothing.
warnings() {
    local port base
    port=$(free_ports 1)
    mkdir -p "$WORK/warnings"
    "${PEER[olareg]}" serve --addr 127.0.0.1 --port "$port" --store-type mem --warning "this registry closes in June" \
        >"$WORK/warnings/log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for_answer "$WORK/warnings/log" "http://127.0.0.1:$port/v2/" $! || { failed_before "olareg" "did not start"; return; }
    base="oci://127.0.0.1:$port/acme/warned"
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$base"
    SIGNER="helm-sigstore sign REF"
    row -g '^warning: 127\.0\.0\.1.* warns: this registry closes in June$' "(signs)" sign "$base/web:1.4.2"
    row -g '^warning: 127\.0\.0\.1.* warns: this registry closes in June$' "helm-sigstore verify REF" \
        verify "${TRUSTED[@]}" "$base/web:1.4.2"
    row "helm-sigstore verify -o json: nothing but the document" only_json verify "${TRUSTED[@]}" -o json "$base/web:1.4.2"
    row -g 'The code-signing certificate was verified' "cosign verify" \
        cosign_verify "${TRUSTED[@]}" "127.0.0.1:$port/acme/warned/web:1.4.2"
}
only_json() { "$@" 2>/dev/null | python3 -c 'import json, sys; assert json.load(sys.stdin)["verdict"] == "verified"'; }
