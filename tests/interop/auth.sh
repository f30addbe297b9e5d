# shellcheck shell=bash
# Registries that ask who one is: passwords, tokens and client certificates, over TLS with a certificate authority of
# one's own, with what `helm registry login` of both majors and Docker's configuration keep. Sourced by `run`.

auth() {
    LOG=v1 SIGNER=- PLACE="TLS, own authority"
    not_measured "credentials" openssl "$CHART_HELM" && return
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    as_signer
    TLS=$WORK/tls
    make_certificates "$TLS" >"$WORK/openssl.log" 2>&1 || { failed_before "openssl" "makes no certificates"; return; }
    local name
    for name in debian distribution; do
        PLACE="$name, password"
        SIGNER=-
        not_measured "sign and verify with a password" "$name" && continue
        start_secured "$name" "auth: {htpasswd: {realm: interop, path: $TLS/$name.htpasswd}}" ||
            { failed_before "$name" "did not start"; continue; }
        passwords "$name"
    done
    PLACE="olareg, tokens" SIGNER=-
    not_measured "sign and verify with tokens" olareg || tokens
    PLACE="distribution, client certificate" SIGNER=-
    not_measured "sign and verify with a client certificate" distribution || client_certificates
    as_helm "$CHART_HELM" "$WORK/homes/charts"
}

tls_sign() { helm_sigstore sign --ca-file "$TLS/ca.pem" --trusted-root "$KIT_TRUSTED_ROOT" \
    --signing-config "$KIT_SIGNING_CONFIG" --identity-token "$TOKEN" "$@"; }
tls_verify() { helm_sigstore verify --ca-file "$TLS/ca.pem" --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" "$@"; }
tls_push() { helm push --ca-file "$TLS/ca.pem" "$@"; }
# Standard input of a row is empty.
with_input() {
    local input=$1
    shift
    "$@" <<<"$input"
}

# Nothing secret in what a command says of itself.
discreetly() { "$@" && ! grep -Fq -e "$PASSWORD" "$OUTPUT"; }

# A certificate authority, a server on loopback and a client.
make_certificates() (
    set -e
    mkdir -p "$1"
    cd "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout ca.key -out ca.pem -days 30 \
        -subj "/CN=interop authority" -addext basicConstraints=critical,CA:TRUE
    leaf() { # NAME EXTENSION…
        local name=$1
        shift
        printf '%s\n' "$@" >"$name.extensions"
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$name.key" -out "$name.request" \
            -subj "/CN=$name"
        openssl x509 -req -in "$name.request" -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
            -extfile "$name.extensions" -out "$name.pem"
    }
    leaf server subjectAltName=IP:127.0.0.1,DNS:localhost extendedKeyUsage=serverAuth
    leaf client extendedKeyUsage=clientAuth
)

# start_secured NAME YAML [TLS-YAML]: CNCF distribution over TLS; sets REGISTRY and PASSWORD.
start_secured() {
    local dir=$WORK/secured-$1-$RANDOM line
    mkdir -p "$dir"
    cat >"$dir/config.yml" <<YAML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $dir/storage}}
http: {addr: "127.0.0.1:0", tls: {certificate: $TLS/server.pem, key: $TLS/server.key${3:+, $3}}}
$2
YAML
    OTEL_TRACES_EXPORTER=none "${PEER[$1]}" serve "$dir/config.yml" >"$dir/log" 2>&1 </dev/null &
    SERVERS+=($!)
    line=$(wait_for "$dir/log" 'listening on 127\.0\.0\.1:[0-9]+' $!) || return 1
    REGISTRY=$(grep -oE '127\.0\.0\.1:[0-9]+' <<<"$line" | tail -n 1)
    # Without a file of passwords it makes one, and says whose.
    PASSWORD=$(grep -oE 'password=[^ ]+' "$dir/log" | head -n 1 | cut -d = -f 2- | tr -d '"') || PASSWORD=
}

# passwords NAME
passwords() {
    local helm base="oci://$REGISTRY/acme/charts" place=$PLACE chart=web
    for helm in helm-4 helm-3; do
        PLACE="$place, $helm" SIGNER=- NEEDS=$helm
        as_helm "$helm" "$WORK/homes/auth-$1-$helm"
        row -e 4 -g '^hint: helm registry login' "helm-sigstore verify: before the login" tls_verify "$base/$chart:1.4.2"
        row "helm registry login" with_input "$PASSWORD" \
            helm registry login "$REGISTRY" --username docker --password-stdin --ca-file "$TLS/ca.pem"
        row -g '^Digest: sha256:' "helm push" tls_push "$CHARTS/$chart-1.4.2.tgz" "$base"
        SIGNER="helm-sigstore sign REF"
        row -g '^Attached: sha256:' "(signs)" discreetly tls_sign "$base/$chart:1.4.2"
        row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF" tls_verify "$base/$chart:1.4.2"
        row -g 'The code-signing certificate was verified' "cosign verify" with_cosign verify \
            --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" --registry-cacert "$TLS/ca.pem" \
            --registry-username docker --registry-password "$PASSWORD" "$REGISTRY/acme/charts/$chart:1.4.2"
        row -e 4 -g '[Cc]ertificate' "helm-sigstore verify: without the authority" helm_sigstore verify \
            --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" "$base/$chart:1.4.2"
        row -g '^Weakened by: --insecure-skip-tls-verify' "helm-sigstore verify --insecure-skip-tls-verify" \
            helm_sigstore verify --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" --insecure-skip-tls-verify \
            "$base/$chart:1.4.2"
        row -e 4 -g ' 401' "helm-sigstore verify: a wrong password" with_input wrong \
            tls_verify --username docker --password-stdin "$base/$chart:1.4.2"
        row "helm registry logout" helm registry logout "$REGISTRY"
        row -e 4 -g '^hint: helm registry login' "helm-sigstore verify: after the logout" tls_verify "$base/$chart:1.4.2"
        row -g '\(signed: manifest and chart\)' "helm-sigstore verify --password-stdin" with_input "$PASSWORD" \
            tls_verify --username docker --password-stdin "$base/$chart:1.4.2"
        chart=api
    done
    NEEDS=
}

with_cosign() { cosign "$@"; }
USES+=([with_cosign]=cosign)

# olareg is its own token server: alice may write, bob may read, nobody else anything.
tokens() {
    local port base helm place=$PLACE dir=$WORK/olareg-tokens
    mkdir -p "$dir/bin" "$dir/docker"
    port=$(free_ports 1)
    REGISTRY=127.0.0.1:$port
    base="oci://$REGISTRY/acme/charts"
    cat >"$dir/auth.yml" <<YAML
users:
  alice: {cred: "$("${PEER[olareg]}" hash --pass alices)"}
  bob: {cred: "$("${PEER[olareg]}" hash --pass bobs)"}
acls:
  - {repo: "", members: [alice, bob], access: [read]}
  - {repo: "acme/*", members: [alice], access: [read, write]}
  - {repo: "acme/*", members: [bob], access: [read]}
YAML
    "${PEER[olareg]}" serve --addr 127.0.0.1 --port "$port" --store-type mem --tls-cert "$TLS/server.pem" \
        --tls-key "$TLS/server.key" --external-url "https://$REGISTRY" --auth-token-opaque "$dir/auth.yml" \
        >"$dir/log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for_port "$port" || { failed_before "olareg" "did not start"; return; }

    for helm in helm-4 helm-3; do
        PLACE="$place, $helm" SIGNER=- NEEDS=$helm
        as_helm "$helm" "$WORK/homes/tokens-$helm"
        row "helm registry login" with_input alices \
            helm registry login "$REGISTRY" --username alice --password-stdin --ca-file "$TLS/ca.pem"
        row -g '^Digest: sha256:' "helm push" tls_push "$CHARTS/web-1.4.2.tgz" "$base"
        SIGNER="helm-sigstore sign REF"
        row -g '^Attached: sha256:' "(signs)" tls_sign "$base/web:1.4.2"
        row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF" tls_verify "$base/web:1.4.2"
        SIGNER=-
        row -g '^Digest: sha256:' "helm push of plain" tls_push "$CHARTS/plain-1.4.2.tgz" "$base"
        row "helm registry logout" helm registry logout "$REGISTRY"
    done
    PLACE=$place NEEDS=$CHART_HELM SIGNER="helm-sigstore sign REF"
    row -e 4 -g ' 401' "helm-sigstore verify: nobody" tls_verify "$base/web:1.4.2"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify: who may read" with_input bobs \
        tls_verify --username bob --password-stdin "$base/web:1.4.2"
    row -e 4 -g 'nothing was signed' "helm-sigstore sign: who may not write" with_input bobs \
        tls_sign --username bob --password-stdin "$base/plain:1.4.2"
    row -e 3 "helm-sigstore verify: nothing half signed" with_input bobs \
        tls_verify --username bob --password-stdin "$base/plain:1.4.2"

    # What Docker's configuration names.
    PLACE="$place, Docker's configuration"
    cat >"$dir/bin/docker-credential-interop" <<'SH'
#!/bin/sh
[ "$1" = get ] && cat >/dev/null && echo '{"ServerURL": "", "Username": "bob", "Secret": "bobs"}'
SH
    chmod +x "$dir/bin/docker-credential-interop"
    printf '{"credHelpers": {"%s": "interop"}}' "$REGISTRY" >"$dir/docker/config.json"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify: a credential helper" env \
        DOCKER_CONFIG="$dir/docker" PATH="$dir/bin:$PATH" "$PRODUCT" verify --ca-file "$TLS/ca.pem" \
        --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" "$base/web:1.4.2"
    row -e 4 -g 'docker-credential-interop' "helm-sigstore verify: a credential helper that is not there" env \
        DOCKER_CONFIG="$dir/docker" "$PRODUCT" verify --ca-file "$TLS/ca.pem" \
        --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" "$base/web:1.4.2"
    printf '{"auths": {"%s": {"auth": "%s"}}}' "$REGISTRY" "$(printf bob:bobs | base64)" >"$dir/docker/config.json"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify: a stored password" env \
        DOCKER_CONFIG="$dir/docker" "$PRODUCT" verify --ca-file "$TLS/ca.pem" \
        --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" "$base/web:1.4.2"
    NEEDS=
}

# Who has no certificate is no client.
client_certificates() {
    start_secured distribution "" "clientcas: [$TLS/ca.pem]" || { failed_before "distribution" "did not start"; return; }
    local base="oci://$REGISTRY/acme/charts" client=(--cert-file "$TLS/client.pem" --key-file "$TLS/client.key")
    as_helm "$CHART_HELM" "$WORK/homes/client"
    NEEDS=$CHART_HELM
    row -g '^Digest: sha256:' "helm push" tls_push "${client[@]}" "$CHARTS/web-1.4.2.tgz" "$base"
    SIGNER="helm-sigstore sign REF"
    row -g '^Attached: sha256:' "(signs)" tls_sign "${client[@]}" "$base/web:1.4.2"
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF" tls_verify "${client[@]}" "$base/web:1.4.2"
    row -e 4 "helm-sigstore verify: without a certificate" tls_verify "$base/web:1.4.2"
    NEEDS=
}
