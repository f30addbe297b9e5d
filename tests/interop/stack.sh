# shellcheck shell=bash
# A real Sigstore on loopback: Fulcio, Rekor v2 and the timestamp authority as their makers publish them, with the kit's
# identity provider and certificate transparency log. Sourced by `run`.

STACK_PEERS="openssl cosign fulcio fulcio-config rekor-tiles timestamp-authority"
command -v openssl >/dev/null || MISSING[openssl]="openssl is not installed"

# Starts it; sets KIT_… for the identities and STACK_… for the services and documents.
start_stack() {
    local dir ports
    # Once a run for each who asks: a socket that is there is in use.
    dir=$(mktemp -d "$WORK/stack.XXXXXX") || return 1
    STACK_DIR=$dir
    start_kit v2 || return 1
    make_authorities "$dir" >"$dir/openssl.log" 2>&1 || { tail -n 5 "$dir/openssl.log" >&2; return 1; }
    mapfile -t ports < <(free_ports 8)

    write_fulcio_config >"$dir/fulcio.yaml"
    STACK_FULCIO_URL=http://localhost:${ports[0]}
    "${PEER[fulcio]}" serve --host 127.0.0.1 --port "${ports[0]}" --grpc-host 127.0.0.1 --grpc-port "${ports[1]}" \
        --metrics-port "${ports[2]}" --legacy-unix-domain-socket "$dir/fulcio.socket" --ca fileca \
        --fileca-cert "$dir/fulcio.pem" --fileca-key "$dir/intermediate.key" --fileca-key-passwd none \
        --fileca-watch=false --ct-log-url "$KIT_CT_URL" --ct-log-public-key-path "$KIT_CT_PUBLIC_KEY" \
        --config-path "$dir/fulcio.yaml" >"$dir/fulcio.log" 2>&1 </dev/null &
    STACK_FULCIO=$!

    STACK_TSA_URL=http://localhost:${ports[3]}/api/v1/timestamp
    "${PEER[timestamp-authority]}" serve --host 127.0.0.1 --port "${ports[3]}" --timestamp-signer file \
        --file-signer-key-path "$dir/tsa.key" --file-signer-passwd '' --certificate-chain-path "$dir/tsa.pem" \
        --disable-ntp-monitoring >"$dir/tsa.log" 2>&1 </dev/null &
    STACK_TSA=$!

    # A log's checkpoints carry its name, which is the host of its URL without the port.
    STACK_REKOR_URL=http://localhost:${ports[4]}
    "${PEER[rekor-tiles]}" serve --http-address 127.0.0.1 --http-port "${ports[4]}" --grpc-address 127.0.0.1 \
        --grpc-port "${ports[5]}" --http-metrics-port "${ports[6]}" --hostname localhost --storage-dir "$dir/rekor" \
        --signer-filepath "$dir/rekor.key" --checkpoint-interval 500ms --batch-max-age 100ms \
        >"$dir/rekor.log" 2>&1 </dev/null &
    STACK_REKOR=$!
    SERVERS+=("$STACK_FULCIO" "$STACK_TSA" "$STACK_REKOR")

    wait_for_answer "$dir/fulcio.log" "$STACK_FULCIO_URL/healthz" "$STACK_FULCIO" &&
        wait_for_answer "$dir/tsa.log" "http://localhost:${ports[3]}/ping" "$STACK_TSA" &&
        wait_for_answer "$dir/rekor.log" "$STACK_REKOR_URL/healthz" "$STACK_REKOR" &&
        write_documents "$dir"
}

# Certificate authority, timestamp authority and log key, as the services want them: chains begin with the leaf.
make_authorities() (
    set -e
    cd "$1"
    new_root() { # NAME
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -noenc -keyout "$1.key" -out "$1.root.pem" \
            -days 3650 -subj "/O=interop/CN=$1 root" -addext basicConstraints=critical,CA:TRUE \
            -addext keyUsage=critical,keyCertSign,cRLSign
    }
    below() { # ROOT NAME EXTENSION…
        local root=$1 name=$2
        shift 2
        printf '%s\n' subjectKeyIdentifier=hash authorityKeyIdentifier=keyid "$@" >"$name.extensions"
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$name.key" -out "$name.request" \
            -subj "/O=interop/CN=$name"
        openssl x509 -req -in "$name.request" -CA "$root.root.pem" -CAkey "$root.key" -CAcreateserial -days 3600 \
            -extfile "$name.extensions" -out "$name.leaf.pem"
    }
    new_root fulcio
    below fulcio intermediate basicConstraints=critical,CA:TRUE,pathlen:0 keyUsage=critical,keyCertSign,cRLSign \
        extendedKeyUsage=codeSigning
    cat intermediate.leaf.pem fulcio.root.pem >fulcio.pem
    new_root authority
    below authority tsa keyUsage=critical,digitalSignature extendedKeyUsage=critical,timeStamping
    cat tsa.leaf.pem authority.root.pem >tsa.pem
    openssl genpkey -algorithm ed25519 -out rekor.key
    openssl pkey -in rekor.key -pubout -out rekor.pub
)

# The kit's issuers for Fulcio, and what the public instance makes of the claims of CI platforms.
write_fulcio_config() {
    sed '/^oidc-issuers:/,$d' "${PEER[fulcio-config]}"
    echo 'oidc-issuers:'
    local issuer
    for issuer in "EMAIL email" "SPIFFE spiffe spiffe-trust-domain acme.example" \
        "USERNAME username subject-domain 127.0.0.1" "URI uri subject-domain $KIT_OIDC_URL" "KUBERNETES kubernetes" \
        "CHAINGUARD chainguard-identity" "GITHUB ci-provider ci-provider github-workflow" \
        "GITLAB ci-provider ci-provider gitlab-pipeline" "BUILDKITE ci-provider ci-provider buildkite-job" \
        "CIRCLECI ci-provider ci-provider circleci-job" "CODEFRESH ci-provider ci-provider codefresh-workflow"; do
        local name type key value url
        read -r name type key value <<<"$issuer"
        url=KIT_ISSUER_$name
        printf '  %s: {issuer-url: "%s", client-id: sigstore, type: %s%s}\n' "${!url}" "${!url}" "$type" \
            "${key:+, $key: \"$value\"}"
    done
    sed -n '/^ci-issuer-metadata:/,$p' "${PEER[fulcio-config]}"
}

# Trusted root and signing config, both by cosign, and the two in one for sigstore-python:
# write_documents FOLDER [LOG-URL LOG-KEY LOG-VERSION]; without a log Rekor v2's.
write_documents() {
    local start document log=${2:-$STACK_REKOR_URL} key=${3:-$1/rekor.pub} version=${4:-2}
    start=$(date -u -d '-1 hour' +%Y-%m-%dT%H:%M:%SZ)
    STACK_TRUSTED_ROOT=$1/trusted_root.json
    STACK_SIGNING_CONFIG=$1/signing_config.json
    STACK_TRUST_CONFIG=$1/trust_config.json
    cosign trusted-root create --fulcio "url=$STACK_FULCIO_URL,certificate-chain=$1/fulcio.pem,start-time=$start" \
        --ctfe "url=$KIT_CT_URL,public-key=$KIT_CT_PUBLIC_KEY,start-time=$start" \
        --rekor "url=$log,public-key=$key,start-time=$start,origin=localhost" \
        --tsa "url=$STACK_TSA_URL,certificate-chain=$1/tsa.pem,start-time=$start" --out "$STACK_TRUSTED_ROOT" &&
        cosign signing-config create \
            --fulcio "url=$STACK_FULCIO_URL,api-version=1,start-time=$start,operator=interop" \
            --rekor "url=$log,api-version=$version,start-time=$start,operator=interop" --rekor-config ANY \
            --oidc-provider "url=$KIT_ISSUER_EMAIL,api-version=1,start-time=$start,operator=interop" \
            --tsa "url=$STACK_TSA_URL,api-version=1,start-time=$start,operator=interop" --tsa-config ANY \
            --out "$STACK_SIGNING_CONFIG" || return 1
    document='{"mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json", "trustedRoot": %s, "signingConfig": %s}'
    # shellcheck disable=SC2059 # the format is the line above
    printf "$document" "$(cat "$STACK_TRUSTED_ROOT")" "$(cat "$STACK_SIGNING_CONFIG")" >"$STACK_TRUST_CONFIG"
}

# Serves both documents by TUF; sets KIT_TUF_URL, KIT_TUF_ROOT and the process STACK_TUF.
start_tuf() {
    local dir=$WORK/tuf-$1
    mkdir -p "$dir"
    "$KIT" tuf --dir "$dir" "trusted_root.json=$STACK_TRUSTED_ROOT" "signing_config.v0.2.json=$STACK_SIGNING_CONFIG" \
        >"$dir/log" 2>&1 </dev/null &
    STACK_TUF=$!
    SERVERS+=("$STACK_TUF")
    wait_for "$dir/log" '^ready' "$STACK_TUF" >/dev/null || return 1
    # shellcheck disable=SC1091 # written by the kit
    . "$dir/env"
}
