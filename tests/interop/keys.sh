# shellcheck shell=bash
# Keys instead of identities: cosign reads the keys and signatures that we make, and we those that cosign makes, with
# both generations of the log and without one. Sourced by `run`.

USES+=([cosign_key]=cosign)

# Our key and cosign's in $KEYS: ours.key, ours.pub, theirs.key, theirs.pub.
make_keys() {
    KEYS=$WORK/keys
    mkdir -p "$KEYS"
    export COSIGN_PASSWORD=interop
    SIGNER=- PLACE=file LOG=-
    row -g '^Key: sha256:' "helm-sigstore key generate" helm_sigstore key generate --output-key-prefix "$KEYS/ours"
    NEEDS=cosign
    row "cosign generate-key-pair" cosign_key generate-key-pair --output-key-prefix "$KEYS/theirs"
    row "cosign public-key: our private key" same_public_key
}

cosign_key() { cosign "$@"; }
same_public_key() {
    cosign_key public-key --key "$KEYS/ours.key" >"$WORK/ours.again" && diff "$KEYS/ours.pub" "$WORK/ours.again"
}
key_sign() { helm_sigstore sign --plain-http --trusted-root "$KIT_TRUSTED_ROOT" \
    --signing-config "$KIT_SIGNING_CONFIG" "$@"; }
key_verify() { helm_sigstore verify --plain-http --trusted-root "$KIT_TRUSTED_ROOT" "$@"; }
cosign_key_sign() { cosign_key sign --yes --trusted-root "$KIT_TRUSTED_ROOT" \
    --signing-config "$KIT_SIGNING_CONFIG" "$@"; }
cosign_key_verify() { cosign_key verify --trusted-root "$KIT_TRUSTED_ROOT" "$@"; }
cosign_key_verify_file() { cosign_key verify-blob-attestation --type "$PREDICATE" "$@"; }
USES+=([cosign_key_sign]=cosign [cosign_key_verify]=cosign [cosign_key_verify_file]=cosign [same_public_key]=cosign)

# One registry and one log: keys_in NAME HOST.
keys_in() {
    local host=$2 base="oci://$2/keys-$LOG" chart key
    PLACE=$1
    for chart in web api cache plain; do
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
        DIGEST[$chart]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    done
    NEEDS="$NEEDS cosign"
    # Either program signs with either key.
    for chart in web:ours api:theirs; do
        key=${chart#*:} chart=${chart%:*}
        SIGNER="helm-sigstore sign --key ($key)"
        local bundle=$WORK/$LOG-$host.$chart.key.json
        row -g '^Signed by: key sha256:' "(signs)" key_sign "$base/$chart:1.4.2" --key "$KEYS/$key.key" --bundle-out "$bundle"
        key_verified "$chart" "$key" "$base" "$host"
        row -g 'Verified OK' "cosign verify-blob-attestation --key" cosign_key_verify_file \
            --trusted-root "$KIT_TRUSTED_ROOT" --key "$KEYS/$key.pub" --bundle "$bundle" "$CHARTS/$chart-1.4.2.tgz"
    done
    SIGNER="cosign sign --key (ours)"
    row "(signs)" cosign_key_sign --key "$KEYS/ours.key" "$host/keys-$LOG/cache@${DIGEST[cache]}"
    key_verified cache ours "$base" "$host"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify --key: wrong key" \
        key_verify --key "$KEYS/theirs.pub" "$base/cache:1.4.2"
    keys_without_log "$base" "$host"
    NEEDS=${NEEDS% cosign}
}

# key_verified CHART KEY BASE HOST
key_verified() {
    row -g '^Signed by: key sha256:' "helm-sigstore verify --key" key_verify --key "$KEYS/$2.pub" "$3/$1:1.4.2"
    row -g 'verified against the specified public key' "cosign verify --key" \
        cosign_key_verify --key "$KEYS/$2.pub" "$4/keys-$LOG/$1:1.4.2"
    local other=ours
    [ "$2" = theirs ] || other=theirs
    row -e refused "cosign verify --key: wrong key" \
        cosign_key_verify --key "$KEYS/$other.pub" "$4/keys-$LOG/$1:1.4.2"
}

# What is in no log has to be asked for, by both: keys_without_log BASE HOST.
keys_without_log() {
    local image=$2/keys-$LOG/plain bundle=$WORK/$LOG-$2.plain.key.json
    SIGNER="helm-sigstore sign --key --tlog-upload=false"
    row -g '^Logged in: no log' "(signs)" helm_sigstore sign --plain-http --tlog-upload=false \
        --key "$KEYS/theirs.key" "$1/plain:1.4.2" --bundle-out "$bundle"
    row -e 5 -g 'in no transparency log' "helm-sigstore verify --key" key_verify --key "$KEYS/theirs.pub" "$1/plain:1.4.2"
    row -g '^Weakened by: --insecure-ignore-tlog' "helm-sigstore verify --key --insecure-ignore-tlog" \
        helm_sigstore verify --plain-http --key "$KEYS/theirs.pub" --insecure-ignore-tlog "$1/plain:1.4.2"
    row -e refused "cosign verify --key" cosign_key_verify --key "$KEYS/theirs.pub" "$image:1.4.2"
    row "cosign verify --key --insecure-ignore-tlog" \
        cosign_key verify --key "$KEYS/theirs.pub" --insecure-ignore-tlog "$image:1.4.2"
    row -g 'Verified OK' "cosign verify-blob-attestation --key --insecure-ignore-tlog" cosign_key_verify_file \
        --insecure-ignore-tlog --key "$KEYS/theirs.pub" --bundle "$bundle" "$CHARTS/plain-1.4.2.tgz"
    SIGNER="cosign sign --key --tlog-upload=false"
    row "(signs)" cosign_key sign --yes --tlog-upload=false --use-signing-config=false \
        --key "$KEYS/ours.key" "$image@${DIGEST[plain]}"
    row -g '^Weakened by: --insecure-ignore-tlog' "helm-sigstore verify --key --insecure-ignore-tlog" \
        helm_sigstore verify --plain-http --key "$KEYS/ours.pub" --insecure-ignore-tlog "$1/plain:1.4.2"
    row -e 5 -g 'in no transparency log' "helm-sigstore verify --key" key_verify --key "$KEYS/ours.pub" "$1/plain:1.4.2"
}
