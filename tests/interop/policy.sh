# shellcheck shell=bash
# A policy file in front of a real registry: written from what is on a chart, and then deciding. Sourced by `run`.

policy_verify() { helm_sigstore verify --plain-http --trusted-root "$KIT_TRUSTED_ROOT" "$@"; }

# policy_in NAME HOST
policy_in() {
    local base=oci://$2/policy file=$WORK/policy.yaml chart
    PLACE=$1
    for chart in web api; do
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
    done
    SIGNER="helm-sigstore sign"
    row -g '^Digest: sha256:' "(signs)" helm_sigstore sign --plain-http --trusted-root "$KIT_TRUSTED_ROOT" \
        --signing-config "$KIT_SIGNING_CONFIG" --identity-token "$KIT_TOKEN_GITHUB" "$base/web:1.4.2"
    row -g '^Written: ' "helm-sigstore policy init" helm_sigstore policy init --plain-http \
        --trusted-root "$KIT_TRUSTED_ROOT" --from "$base/web:1.4.2" "$file"
    row -g '^Rule: ' "helm-sigstore policy test" helm_sigstore policy test "$base/web:1.4.2" --policy "$file"
    row -g '^Policy: ' "helm-sigstore verify --policy" policy_verify "$base/web:1.4.2" --policy "$file"
    row -g '^Policy: ' "helm-sigstore verify FILE --repository --policy" \
        policy_verify "$CHARTS/web-1.4.2.tgz" --repository "$base" --policy "$file"
    row -e 5 -g '^error: no rule of the policy' "helm-sigstore verify --policy: no rule" \
        policy_verify "$base/api:1.4.2" --policy "$file"
    sed "s|/policy/web|/policy/*|" "$file" >"$file.wide"
    row -e 3 -g '^error: unsigned' "helm-sigstore verify --policy: unsigned" \
        policy_verify "$base/api:1.4.2" --policy "$file.wide"
    sed 's/- \(github\|email\|certificate-identity\): "/&x/' "$file" >"$file.other"
    row -e 5 -g '^error: wrong signer' "helm-sigstore verify --policy: wrong signer" \
        policy_verify "$base/web:1.4.2" --policy "$file.other"
    printf 'schema: helm-sigstore.policy/v1\nrules: []\n' >"$file.bad"
    row -e 2 -g '^error: bad policy file' "helm-sigstore verify --policy: bad file" \
        policy_verify "$base/web:1.4.2" --policy "$file.bad"
}
