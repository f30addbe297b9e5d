# shellcheck shell=bash
# The matrix: who signed × who verified × where × in which log × as whom. One cell, one row; `summary` prints them as
# tables. Logs v1 and v2 are the kit's; "v1 real" and "v2 real" have Fulcio, Rekor and timestamp authority as their
# makers publish them. Sourced by `run`.

MATRIX_KINDS=(github gitlab email spiffe uri username)
# Who can sign and verify in a registry.
MATRIX_TOOLS="ours cosign cosign-3.0 cosign-2"
declare -A TOOL=([ours]="helm-sigstore" [cosign]="cosign 3.1" [cosign-3.0]="cosign 3.0" [cosign-2]="cosign 2.6"
    [python]="sigstore-python" [go]="sigstore-go" [js]="sigstore-js" [adapter]="helm-sigstore (conformance)")

matrix() {
    MATRIX=1
    for LOG in v1 v2; do
        start_kit "$LOG" || { failed_before "kit with log $LOG" "did not start"; continue; }
        TSA_URL=$KIT_TSA_FULL_URL FULCIO_URL=$KIT_FULCIO_URL
        REKOR_URL=$KIT_REKOR_V1_URL
        [ "$LOG" = v1 ] || REKOR_URL=$KIT_REKOR_V2_URL
        matrix_of
    done
    LOG="v2 real" PLACE="all" SIGNER=all
    # shellcheck disable=SC2086 # words
    if ! not_measured "Fulcio, Rekor v2, timestamp authority" $STACK_PEERS; then
        start_stack && real_matrix "v2 real" || failed_before "Fulcio, Rekor v2, timestamp authority" "did not start"
    fi
    LOG="v1 real" PLACE="all" SIGNER=all
    # shellcheck disable=SC2086 # words
    if ! not_measured "Fulcio, Rekor v1 with Trillian, timestamp authority" $STACK_PEERS $REKOR_V1_PEERS; then
        # The services of the other log run already.
        if start_rekor_v1; then
            real_matrix "v1 real"
            formats_on_real_v1
        else
            failed_before "Rekor v1 with Trillian" "did not start"
        fi
    fi
    MATRIX=
}

# What is signed where nothing is asked for, both formats, with the log that the older one was made for; and by a key.
formats_on_real_v1() {
    local base image key=$WORK/matrix-key format
    KIT_FULCIO_URL=$STACK_FULCIO_URL KIT_FULCIO_CHAIN=$STACK_DIR/fulcio.pem
    KIT_REKOR_V1_URL=$STACK_REKOR_V1_URL KIT_REKOR_V1_PUBLIC_KEY=$STACK_REKOR_V1_PUBLIC_KEY
    formats_everywhere "v1 real formats" distribution olareg

    LOG="v1 real" PLACE="olareg (referrers API)" SIGNER="helm-sigstore sign --key (default: both)" NEEDS="$CHART_HELM olareg"
    not_measured "(signs)" olareg "$CHART_HELM" && return
    start_registry olareg || { failed_before "olareg" "did not start"; return; }
    base=oci://$REGISTRY/matrix-key image=$REGISTRY/matrix-key/web
    export COSIGN_PASSWORD=interop
    row -g '^Key: sha256:' "helm-sigstore key generate" helm_sigstore key generate --output-key-prefix "$key"
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$base"
    row -g '\(cosign tag\)$' "(signs)" key_sign "$base/web:1.4.2" --key "$key.key"
    for format in bundle legacy; do
        row -g "^Logged in: " "helm-sigstore verify --key --accept $format" \
            key_verify --accept "$format" --key "$key.pub" "$base/web:1.4.2"
    done
    row -g 'verified against the specified public key' "cosign 3.1 verify --key" cosign_key_verify --key "$key.pub" "$image:1.4.2"
    NEEDS="$NEEDS cosign-2"
    row -g 'verified against the specified public key' "cosign 2.6 verify --key" \
        cosign_2_verify_bundle --key "$key.pub" "$image:1.4.2"
    NEEDS=
}

# From here on what was written for the kit's Sigstore speaks to this one: real_matrix LOG.
real_matrix() {
    LOG=$1 TSA_URL=$STACK_TSA_URL FULCIO_URL=$STACK_FULCIO_URL REKOR_URL=$STACK_REKOR_URL
    [ "$LOG" = "v2 real" ] || REKOR_URL=$STACK_REKOR_V1_URL
    KIT_TRUSTED_ROOT=$STACK_TRUSTED_ROOT KIT_SIGNING_CONFIG=$STACK_SIGNING_CONFIG KIT_TRUST_CONFIG=$STACK_TRUST_CONFIG
    # The domain is as Fulcio is configured.
    KIT_IDENTITY_USERNAME='jane!127.0.0.1'
    matrix_of
}

matrix_of() {
    local registry name peer n=0 signer
    for registry in "${REGISTRIES[@]}"; do
        read -r name peer PLACE <<<"$registry"
        SIGNER=all KIND=all
        not_measured all "$peer" "$CHART_HELM" && continue
        start_registry "$name" || { failed_before "$name" "did not start"; continue; }
        for signer in $MATRIX_TOOLS; do
            # Each pair meets every kind of identity on olareg; elsewhere they take turns.
            if [ "$name" = olareg ]; then
                for KIND in "${MATRIX_KINDS[@]}"; do matrix_registry "$signer" "$name" "$REGISTRY"; done
            else
                KIND=${MATRIX_KINDS[n++ % ${#MATRIX_KINDS[@]}]}
                matrix_registry "$signer" "$name" "$REGISTRY"
            fi
        done
    done
    for KIND in "${MATRIX_KINDS[@]}"; do matrix_files; done
    FILE_TURN=$((FILE_TURN + 1))
}

# Sets TOKEN, IDENTITY, ISSUER and TRUSTED for KIND.
as_matrix_kind() {
    local name=${KIND^^} token identity issuer
    token=KIT_TOKEN_$name identity=KIT_IDENTITY_$name issuer=KIT_ISSUER_$name
    TOKEN=${!token} IDENTITY=${!identity} ISSUER=${!issuer}
    TRUSTED=(--certificate-identity "$IDENTITY" --certificate-oidc-issuer "$ISSUER")
}

tool() { timeout 120 "${PEER[$1]}" "${@:2}"; }

# signs_by TOOL IMAGE DIGEST
signs_by() {
    case $1 in
        # The older format beside it is what `formats` is about.
        ours) sign "oci://$2@$3" --signature-format bundle ;;
        *) tool "$1" sign --yes --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" \
            --identity-token "$TOKEN" $([ "$1" != cosign-2 ] || echo --new-bundle-format) "$2@$3" ;;
    esac
}

# verified_by TOOL IMAGE TAG
verified_by() {
    case $1 in
        ours) verify "${TRUSTED[@]}" "oci://$2:$3" ;;
        cosign-2) tool "$1" verify --new-bundle-format --trusted-root "$KIT_TRUSTED_ROOT" \
            $(case $LOG in v2*) echo --use-signed-timestamps ;; esac) "${TRUSTED[@]}" "$2:$3" ;;
        *) tool "$1" verify --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" "$2:$3" ;;
    esac
}

# Where it cannot work for the reason that is given: unable ACTION TOOL NAME; sets UNABLE.
unable() {
    UNABLE=
    case $1:$2:$3 in
        *:cosign*:olareg-405) UNABLE="a 405 to the referrers API is no answer that cosign knows" ;;
        sign:cosign-2:* | sign:cosign-3.0:* | sign:js:*)
            case $LOG in v2*) UNABLE="cosign 2.6 and 3.0 and sigstore-js log DSSE entries, which Rekor v2 does not take any more" ;; esac ;;
        *:js:*) case $LOG in v2*) UNABLE="sigstore-js knows no DSSE entry of Rekor v2 (TLOG_BODY_ERROR)" ;; esac ;;
        *:python:username) UNABLE="sigstore-python takes the DER of a user name for the name" ;;
    esac
}

# matrix_registry SIGNER NAME HOST
matrix_registry() {
    local signer=$1 name=$2 image verifier
    image=$3/matrix-${LOG// /-}/$KIND-${signer//./-}/web
    as_matrix_kind
    SIGNER=${TOOL[$signer]}
    NEEDS=$CHART_HELM
    [ "$signer" = ours ] || NEEDS="$NEEDS $signer"
    local code=0
    [ "$signer" = ours ] || [ -z "${MISSING[$signer]:-}" ] || { row "all" true; NEEDS=; return; }
    push "$CHARTS/web-1.4.2.tgz" "oci://${image%/web}" >"$OUTPUT" 2>&1 || { failed_before "push" "$(tail -n 1 "$OUTPUT")"; return; }
    DIGEST[web]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    unable sign "$signer" "$name"
    if [ -n "$UNABLE" ]; then
        NOTE=$UNABLE row -e refused "(signs)" signs_by "$signer" "$image" "${DIGEST[web]}"
        NEEDS=
        return
    fi
    row "(signs)" signs_by "$signer" "$image" "${DIGEST[web]}"
    [ "$LAST" = ok ] || { NEEDS=; return; }
    local needs=$NEEDS
    for verifier in $MATRIX_TOOLS; do
        NEEDS=$needs
        [ "$verifier" = ours ] || NEEDS="$needs $verifier"
        unable verify "$verifier" "$name"
        if [ -n "$UNABLE" ]; then
            NOTE=$UNABLE row -e refused "${TOOL[$verifier]}" verified_by "$verifier" "$image" 1.4.2
        else
            row -g 'Verified:|certificate was verified|critical' "${TOOL[$verifier]}" verified_by "$verifier" "$image" 1.4.2
        fi
    done
    NEEDS=$needs
    # Its name stays what it was, its versions too.
    NEEDS=
}

js() { timeout 120 node "$HERE/sigstore-js/bundle.cjs" "$PEERS/sigstore-js-3.1.1" "$@"; }
file_verified_by() {
    local bundle=$2 file=$3
    case $1 in
        ours) verify "${TRUSTED[@]}" "$file" --bundle "$bundle" --offline ;;
        adapter) conformance_verify --bundle "$bundle" "$file" ;;
        python) sigstore_verify "$bundle" "$IDENTITY" "$file" ;;
        go) tool sigstore-go verify-bundle --bundle "$bundle" "${TRUSTED[@]}" --trusted-root "$KIT_TRUSTED_ROOT" "$file" ;;
        js) js verify "$KIT_TRUSTED_ROOT" "$IDENTITY" "$ISSUER" "$bundle" "$file" ;;
        *) tool "$1" "${4:-verify-blob-attestation}" --trusted-root "$KIT_TRUSTED_ROOT" "${TRUSTED[@]}" \
            $([ -n "${4:-}" ] || echo "--type $PREDICATE") --bundle "$bundle" \
            $([ "$1" != cosign-2 ] || echo --new-bundle-format) \
            $(case $1:$LOG in cosign-2:v2*) echo --use-signed-timestamps ;; esac) "$file" ;;
    esac
}
declare -A FILE_PEER=([python]=sigstore-python [go]=sigstore-go [js]=sigstore-js [cosign]=cosign [cosign-3.0]=cosign-3.0 [cosign-2]=cosign-2)

# Bundles as files, for the kind of identity at hand.
matrix_files() {
    local file=$CHARTS/web-1.4.2.tgz bundle=$WORK/matrix-file-$KIND-${LOG// /-} verifier
    PLACE=file
    as_matrix_kind
    SIGNER="helm-sigstore" NEEDS=$CHART_HELM
    row "(signs)" sign "$file" --bundle-out "$bundle.ours" --force
    [ "$LAST" != ok ] || for verifier in ours adapter cosign cosign-3.0 cosign-2 python go js; do
        file_cell "$verifier" "$bundle.ours" "$file"
    done

    SIGNER="sigstore-python" NEEDS="$CHART_HELM sigstore-python"
    row "(signs)" sigstore_python --trust-config "$KIT_TRUST_CONFIG" sign --identity-token "$(cat "$TOKEN")" \
        --bundle "$bundle.python" --overwrite "$file"
    [ "$LAST" != ok ] || messages "$bundle.python" "$file"

    # By turns, so that each meets two kinds of identity in each log, and with three logs every kind.
    blobs_by "${FILE_SIGNERS[FILE_TURN++ % ${#FILE_SIGNERS[@]}]}" "$bundle" "$file"
    # With the real logs each kind.
    case $LOG:$((FILE_TURN % 3)) in *real:* | *:0) blobs_by js "$bundle" "$file" ;; esac
    NEEDS=
}
FILE_SIGNERS=(cosign cosign-3.0 cosign-2)
FILE_TURN=0

# What others sign as a file: a statement of the kind that cosign makes of images, and a plain message:
# blobs_by SIGNER BUNDLE FILE.
blobs_by() {
    local signer=$1 bundle=$2 file=$3 verifier statement="attest-blob" message="sign-blob"
    [ "$signer" != js ] || statement="statement" message="message"
    SIGNER="${TOOL[$signer]} ($statement)" NEEDS="$CHART_HELM ${FILE_PEER[$signer]}"
    [ -z "${MISSING[${FILE_PEER[$signer]}]:-}" ] || { SIGNER="${TOOL[$signer]} (files)" row "all" true; return; }
    unable sign "$signer" file
    if [ -n "$UNABLE" ]; then
        NOTE=$UNABLE row -e refused "(signs)" file_signed_by "$signer" attest "$bundle.statement" "$file"
    else
        row "(signs)" file_signed_by "$signer" attest "$bundle.statement" "$file"
        [ "$LAST" != ok ] || for verifier in ours adapter cosign cosign-3.0 cosign-2 python go js; do
            file_cell "$verifier" "$bundle.statement" "$file"
        done
    fi
    SIGNER="${TOOL[$signer]} ($message)"
    row "(signs)" file_signed_by "$signer" sign "$bundle.message" "$file"
    [ "$LAST" != ok ] || messages "$bundle.message" "$file"
}

# file_signed_by SIGNER attest|sign BUNDLE FILE
file_signed_by() {
    local what=()
    if [ "$1" = js ]; then
        js "$2" "$FULCIO_URL" "$REKOR_URL" "${LOG:1:1}" "$TSA_URL" "$TOKEN" "$4" "$3"
        return
    fi
    [ "$2" = sign ] || { echo '{}' >"$WORK/predicate.json" && what=(--predicate "$WORK/predicate.json" --type "$PREDICATE"); }
    [ "$1" != cosign-2 ] || what+=(--new-bundle-format)
    tool "$1" "$2-blob" --yes --trusted-root "$KIT_TRUSTED_ROOT" --signing-config "$KIT_SIGNING_CONFIG" \
        --identity-token "$TOKEN" --bundle "$3" "${what[@]}" "$4"
}

# Plain messages, which are no statements about charts: the product says so, its verifier judges them.
messages() {
    local verifier
    NOTE="a plain message says nothing about a chart" row -e 5 "helm-sigstore" file_verified_by ours "$1" "$2"
    for verifier in adapter cosign cosign-3.0 cosign-2 python go js; do file_cell "$verifier" "$1" "$2" verify-blob; done
}

# file_cell VERIFIER BUNDLE FILE [VERB]
file_cell() {
    local needs=$NEEDS
    NEEDS="$NEEDS ${FILE_PEER[$1]:-}"
    unable verify "$1" "$KIND"
    case $1:$SIGNER in
        python:*attest-blob*) UNABLE="cosign attest-blob writes in-toto statements of version 0.1, and sigstore-python reads those of version 1" ;;
    esac
    if [ "$1" = js ]; then
        # A message it can judge in either log.
        [ -z "${4:-}" ] || UNABLE=
        [ "$LOG" != v1 ] || UNABLE="sigstore-js wants the name of a log in its URL, where the kit's is not (see v1 real)"
        [ "$KIND" != username ] || UNABLE="sigstore-js reads no user names in certificates"
    fi
    if [ -n "$UNABLE" ]; then
        NOTE=$UNABLE row -e refused "${TOOL[$1]}" file_verified_by "$@"
    else
        row "${TOOL[$1]}" file_verified_by "$@"
    fi
    NEEDS=$needs
}
