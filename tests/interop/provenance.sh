# shellcheck shell=bash
# Helm's provenance files by real parts: keys and rings of GnuPG, files of `helm package --sign` of both majors and of
# Helm's own test data. Sourced by `run`.

# gpg in a home of its own, without a terminal.
gpg_here() { GNUPGHOME=$GPG_HOME timeout 60 gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase '' "$@"; }

fingerprint_of() { gpg_here --with-colons --list-keys "$1" | awk -F: '$1 == "fpr" {print $10; exit}'; }

# Keys as users have them: RSA, Ed25519, a signing subkey, one that has expired, one that is revoked.
gpg_keys() {
    GPG_HOME=$WORK/gnupg
    mkdir -m 700 -p "$GPG_HOME"
    gpg_here --quick-gen-key 'Rsa <rsa@example.com>' rsa3072 sign never || return 1
    gpg_here --quick-gen-key 'Ed <ed@example.com>' ed25519 sign never || return 1
    gpg_here --quick-gen-key 'Sub <sub@example.com>' ed25519 cert never || return 1
    gpg_here --quick-add-key "$(fingerprint_of sub@example.com)" ed25519 sign never || return 1
    gpg_here --faked-system-time 20240101T000000 --quick-gen-key 'Old <old@example.com>' ed25519 sign 2024-06-01 || return 1
    gpg_here --quick-gen-key 'Gone <gone@example.com>' ed25519 sign never || return 1
    gpg_here --quick-gen-key 'Crypt <crypt@example.com>' rsa2048 encr never 2>/dev/null || true
}

# prov_by USER [FAKED TIME]: $PROVS/USER/web-1.4.2.tgz with its provenance by GnuPG itself.
prov_by() {
    local dir=$PROVS/$1
    mkdir -p "$dir"
    cp "$CHARTS/web-1.4.2.tgz" "$dir/"
    { printf 'apiVersion: v2\nname: web\nversion: 1.4.2\n\n...\nfiles:\n  web-1.4.2.tgz: sha256:%s\n' \
        "$(sha256sum <"$dir/web-1.4.2.tgz" | cut -d' ' -f1)"; } >"$dir/text"
    # shellcheck disable=SC2086 # no time is no word
    gpg_here ${2:+--faked-system-time $2} --local-user "$1@example.com" --digest-algo "${3:-SHA512}" --clearsign --output - \
        "$dir/text" >"$dir/web-1.4.2.tgz.prov"
    rm "$dir/text"
}

# judges FILE RING…: what `verify` says of a chart that nothing but its provenance speaks for (exit 3), or refuses (5).
judges() {
    local file=$1 ring=$2
    shift 2
    helm_sigstore verify "$file" --trusted-root "$KIT_TRUSTED_ROOT" --offline --keyring "$ring" "$@"
}

# by_policy WHAT RING: a policy that says this of provenance, beside the ring; nobody whom it trusts has signed anything.
by_policy() {
    printf 'schema: helm-sigstore.policy/v1\nrules:\n  - repositories: ["%s/**"]\n    any-of:\n      - email: %s\n        issuer: %s\n    prov: %s\n    keyring: %s\n' \
        "$KIT_REGISTRY" nobody@example.com https://issuer.example "$1" "$2" >"$WORK/prov-$1-$2.yaml"
    printf %s "$WORK/prov-$1-$2.yaml"
}

# judges_as POLICY FILE: by the rule for a chart of that name.
judges_as() {
    helm_sigstore verify "$2" --policy "$1" --as "oci://$KIT_REGISTRY/charts/web:1.4.2" --trusted-root "$KIT_TRUSTED_ROOT" --offline
}

provenance() {
    local helm user data file
    if ! command -v gpg >/dev/null; then
        MISSING[gpg]="gpg is not installed"
    fi
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    PROVS=$WORK/provs
    SIGNER=GnuPG
    PLACE=file
    LOG=-
    NEEDS="gpg $CHART_HELM"
    local good='provenance verified, unsigned in Sigstore' alone='^Accepted by: provenance alone; unsigned in Sigstore$'
    row "(makes keys)" gpg_keys
    [ -z "${MISSING[gpg]:-}" ] || return 0
    gpg_here --export >"$WORK/ring.gpg"
    gpg_here --export --armor >"$WORK/ring.asc"
    for user in rsa ed sub gone; do
        row "(signs) $user" prov_by "$user"
        file=$PROVS/$user/web-1.4.2.tgz
        row -e 3 -g "$good" "verify --keyring, $user, binary" judges "$file" "$WORK/ring.gpg"
        row -e 3 -g "$good" "verify --keyring, $user, armored" judges "$file" "$WORK/ring.asc"
        row -e 3 -g "$good" "verify --keyring, $user, pubring.kbx" judges "$file" "$GPG_HOME/pubring.kbx"
    done
    row "(signs) old, before its key expired" prov_by old 20240201T000000
    row -e 3 -g "$good" "verify --keyring, expired since" judges "$PROVS/old/web-1.4.2.tgz" "$WORK/ring.gpg"
    row "(signs) rsa, SHA-1" prov_by rsa '' SHA1
    row -e 5 -g 'SHA1, which is weak' "verify --keyring, SHA-1" judges "$PROVS/rsa/web-1.4.2.tgz" "$WORK/ring.gpg"
    row "(revokes a key)" revoke_key gone@example.com
    gpg_here --export >"$WORK/revoked.gpg"
    row -e 5 -g 'the key is revoked' "verify --keyring, revoked" judges "$PROVS/gone/web-1.4.2.tgz" "$WORK/revoked.gpg"
    gpg_here --export rsa@example.com >"$WORK/rsa.gpg"
    gpg_here --export ed@example.com >"$WORK/ed.gpg"
    row -e 5 -g 'unknown key' "verify --keyring, of others" judges "$PROVS/ed/web-1.4.2.tgz" "$WORK/rsa.gpg"
    for user in ed sub old; do
        file=$PROVS/$user/web-1.4.2.tgz
        row -g "$alone" "verify --policy, prov: accept, $user" judges_as "$(by_policy accept ring.gpg)" "$file"
        row -e 3 -g "$good" "verify --policy, prov: require, $user" judges_as "$(by_policy require ring.gpg)" "$file"
        row -e 5 -g 'unknown key' "verify --policy, prov: accept, $user, of others" judges_as "$(by_policy accept rsa.gpg)" "$file"
    done
    row -e 5 -g 'the key is revoked' "verify --policy, prov: accept, revoked" judges_as "$(by_policy accept revoked.gpg)" \
        "$PROVS/gone/web-1.4.2.tgz"

    # What Helm itself signs, and whether it accepts what we pushed.
    gpg_here --export-secret-keys rsa@example.com >"$WORK/secret.gpg"
    for helm in helm-4 helm-3; do
        SIGNER="$helm package --sign"
        PLACE=$helm
        NEEDS="gpg $helm"
        as_helm "$helm" "$WORK/homes/prov-$helm"
        mkdir -p "$PROVS/$helm"
        row "helm create" helm create "$PROVS/$helm/web"
        row "helm package --sign" helm_packages "$helm"
        file=$PROVS/$helm/web-1.4.2.tgz
        row -e 3 -g "$good" "verify --keyring" judges "$file" "$WORK/rsa.gpg"
        row -g "^Pushed: " "helm sigstore push" helm_sigstore push "$file" "oci://$KIT_REGISTRY/prov-$helm" --plain-http
        cp "$OUTPUT" "$WORK/pushed"
        row -g '^Chart Hash Verified: ' "helm pull --verify of what was pushed" helm pull --plain-http --verify \
            --keyring "$WORK/rsa.gpg" "oci://$KIT_REGISTRY/prov-$helm/web" --version 1.4.2 --destination "$HELM_DATA_HOME"
        pinned_pull "$helm" "oci://$KIT_REGISTRY/prov-$helm/web" "$(sed -n 's/^Digest: *//p' "$WORK/pushed")"
        row -e 3 -g "$good" "verify REF --keyring" helm_sigstore verify "oci://$KIT_REGISTRY/prov-$helm/web:1.4.2" \
            --plain-http --trusted-root "$KIT_TRUSTED_ROOT" --keyring "$WORK/rsa.gpg"
        row -g "$alone" "verify REF --policy, prov: accept" helm_sigstore verify "oci://$KIT_REGISTRY/prov-$helm/web:1.4.2" \
            --plain-http --trusted-root "$KIT_TRUSTED_ROOT" --policy "$(by_policy accept rsa.gpg)"
        row -e 5 -g 'unknown key' "verify REF --policy, prov: accept, of others" helm_sigstore verify \
            "oci://$KIT_REGISTRY/prov-$helm/web:1.4.2" --plain-http --trusted-root "$KIT_TRUSTED_ROOT" \
            --policy "$(by_policy accept ed.gpg)"
    done

    # Helm's own test data, some with integers of RSA that are not in their shortest form.
    data=$(go list -m -f '{{.Dir}}' helm.sh/helm/v4@v4.3.1 2>/dev/null) ||
        data=$(ls -d "$(go env GOMODCACHE 2>/dev/null)/helm.sh/helm/v4@"* 2>/dev/null | tail -n 1)
    SIGNER="Helm's test data"
    PLACE=file
    NEEDS=helm-data
    [ -d "$data/pkg/provenance/testdata" ] || MISSING[helm-data]="Helm's module is not there"
    file=$data/pkg/provenance/testdata
    for ring in helm-test-key.pub helm-test-key.asc helm-test-key.kbx helm-mixed-keyring.pub helm-mixed-keyring.kbx; do
        row -e 3 -g "$good" "hashtest, $ring" judges "$file/hashtest-1.2.3.tgz" "$file/$ring"
    done
    row -e 3 -g "$good" "signtest" judges "$data/pkg/downloader/testdata/signtest-0.1.0.tgz" "$file/helm-test-key.pub"
}

# pinned_pull HELM REPOSITORY DIGEST: what is pulled by digest has another name than its provenance says, and Helm fails
# over that.
pinned_pull() {
    local dir=$PROVS/$1-pinned file
    mkdir -p "$dir"
    row -g '^Digest: sha256:' "helm pull --prov by digest" helm pull --plain-http --prov "$2@$3" --destination "$dir"
    file=$(find "$dir" -name '*.tgz' | head -n 1)
    row "its name is its digest's" test "${file##*/}" = "web@${3/:/-}.tgz"
    row -e refused -g "does not contain a SHA" "helm verify: the name is another" helm verify "$file" --keyring "$WORK/rsa.gpg"
    rm -rf "$dir-again" && mkdir "$dir-again"
    row -e refused -g "does not contain a SHA" "helm pull --verify by digest" helm pull --plain-http --verify --keyring "$WORK/rsa.gpg" "$2@$3" \
        --destination "$dir-again"
    row -e 3 -g "$good" "verify FILE --keyring, as pulled by digest" judges "$file" "$WORK/rsa.gpg"
    row -e 5 -g 'unknown key' "verify FILE --keyring, of others" judges "$file" "$WORK/ed.gpg"
}

helm_packages() {
    (cd "$PROVS/$1" && printf '\n' >"$WORK/passphrase" && helm package web --version 1.4.2 --sign --key 'Rsa <rsa@example.com>' \
        --keyring "$WORK/secret.gpg" --passphrase-file "$WORK/passphrase")
}

revoke_key() {
    local fingerprint
    fingerprint=$(fingerprint_of "$1")
    # GnuPG keeps a revocation ready, made harmless by a colon.
    sed 's/^:-----BEGIN/-----BEGIN/' "$GPG_HOME/openpgp-revocs.d/$fingerprint.rev" | gpg_here --import
}
