# shellcheck shell=bash
# Signatures over a packaged chart in files of their own, as cosign 2.6 and 3.1 write them (`sign-blob`): their log entry
# is in the log alone, or in the older bundle. With Rekor v1, which is the log that can be searched. Sourced by `run`.
# The other way round there are no such files: ours over a file is a bundle, which is what `signatures` is about.

# tool_blob PEER VERB …: cosign with what it has to be told of a Sigstore of one's own.
tool_blob() {
    local peer=$1 verb=$2
    shift 2
    SIGSTORE_TSA_CERTIFICATE_FILE=$KIT_TSA_CHAIN with_keys tool "$peer" "$verb" --new-bundle-format=false \
        --rekor-url "$KIT_REKOR_V1_URL" "$@"
}
# blob_signed_by PEER …: by a key that is named, or as the signer.
blob_signed_by() {
    local peer=$1
    shift
    case " $* " in
        *" --key "*) ;;
        *) set -- --fulcio-url "$KIT_FULCIO_URL" --identity-token "$TOKEN" "$@" ;;
    esac
    tool_blob "$peer" sign-blob --yes $([ "$peer" = cosign-2 ] || echo --use-signing-config=false) "$@"
}
blob_verified_by() { tool_blob "$1" verify-blob "${@:2}"; }

blobs() {
    local peer
    LOG=v1 PLACE=file
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    as_signer
    make_keys
    PLACE=file
    for peer in cosign cosign-2; do
        LOG=v1 NEEDS="$CHART_HELM $peer"
        mkdir -p "$WORK/$peer"
        pieces_by "$peer" "$WORK/$peer"
    done
}

# pieces_by PEER FOLDER
pieces_by() {
    local peer=$1 at=$2 file=$CHARTS/web-1.4.2.tgz
    local pieces=(--signature "$at/web.sig" --certificate "$at/web.pem")

    SIGNER="${TOOL[$peer]} sign-blob, two files"
    row "(signs)" blob_signed_by "$peer" --output-signature "$at/web.sig" --output-certificate "$at/web.pem" "$file"
    row -g '^Logged in: 127.0.0.1:' "helm-sigstore verify --signature --certificate" \
        verify "${TRUSTED[@]}" "$file" "${pieces[@]}"
    row -g '^Logged in: 127.0.0.1:' "helm-sigstore verify --rekor-server" \
        verify "${TRUSTED[@]}" "$file" "${pieces[@]}" --rekor-server "$KIT_REKOR_V1_URL"
    row -g 'Verified OK' "${TOOL[$peer]} verify-blob" \
        blob_verified_by "$peer" "${TRUSTED[@]}" "${pieces[@]}" "$file"
    row -e 5 -g 'with --offline no log is searched' "helm-sigstore verify --offline" \
        verify "${TRUSTED[@]}" "$file" "${pieces[@]}" --offline
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify: wrong identity" verify "${STRANGER[@]}" "$file" "${pieces[@]}"
    row -e 5 -g '^error: signature does not verify' "helm-sigstore verify: tampered" \
        verify "${TRUSTED[@]}" "$CHARTS/tampered/web-1.4.2.tgz" "${pieces[@]}"
    row -e 4 -g 'cannot read the log' "helm-sigstore verify: the log is down" \
        verify "${TRUSTED[@]}" "$file" "${pieces[@]}" --rekor-server http://127.0.0.1:9

    SIGNER="${TOOL[$peer]} sign-blob, with a timestamp"
    row "(signs)" blob_signed_by "$peer" --timestamp-server-url "$KIT_TSA_FULL_URL" --rfc3161-timestamp "$at/stamped.tsr" \
        --output-signature "$at/stamped.sig" --output-certificate "$at/stamped.pem" "$file"
    row -g '"timestamp": ?"2' "helm-sigstore verify --rfc3161-timestamp" verify "${TRUSTED[@]}" "$file" -o json \
        --signature "$at/stamped.sig" --certificate "$at/stamped.pem" --rfc3161-timestamp "$at/stamped.tsr"

    SIGNER="${TOOL[$peer]} sign-blob --bundle (older)"
    row "(signs)" blob_signed_by "$peer" --bundle "$at/web.bundle" "$file"
    row -g '"rekorBundle"' "(it is an older one)" cat "$at/web.bundle"
    row -g '^Logged in: 127.0.0.1:' "helm-sigstore verify --bundle --offline" \
        verify "${TRUSTED[@]}" "$file" --bundle "$at/web.bundle" --offline
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify --bundle: wrong identity" \
        verify "${STRANGER[@]}" "$file" --bundle "$at/web.bundle" --offline

    SIGNER="${TOOL[$peer]} sign-blob --key"
    row "(signs)" blob_signed_by "$peer" --key "$KEYS/theirs.key" --output-signature "$at/key.sig" "$file"
    row -g '^Signed by: key sha256:' "helm-sigstore verify --signature --key" \
        verify "$file" --signature "$at/key.sig" --key "$KEYS/theirs.pub"
    row -g 'Verified OK' "${TOOL[$peer]} verify-blob --key" \
        blob_verified_by "$peer" --key "$KEYS/theirs.pub" --signature "$at/key.sig" "$file"

    # Another chart, so that the log has nothing of it.
    SIGNER="${TOOL[$peer]} sign-blob --key --tlog-upload=false" LOG=none
    file=$CHARTS/api-1.4.2.tgz
    row "(signs)" blob_signed_by "$peer" --key "$KEYS/theirs.key" --tlog-upload=false --output-signature "$at/none.sig" "$file"
    row -e 5 -g '^error: signature is in no transparency log' "helm-sigstore verify --signature --key" \
        verify "$file" --signature "$at/none.sig" --key "$KEYS/theirs.pub"
    row -e refused "${TOOL[$peer]} verify-blob --key" \
        blob_verified_by "$peer" --key "$KEYS/theirs.pub" --signature "$at/none.sig" "$file"
    row -g '^Weakened by: --insecure-ignore-tlog' "helm-sigstore verify --insecure-ignore-tlog" \
        verify "$file" --signature "$at/none.sig" --key "$KEYS/theirs.pub" --insecure-ignore-tlog
}
