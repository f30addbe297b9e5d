#!/usr/bin/env bash
# The programs that helm-sigstore is measured against. Each is fetched once, into a folder of its own below
# $PEERS, which outlives the clone; a peer that cannot be had is not measured, with the reason.
# Sourced by `run`; `bash peers.sh [--full]` only fetches.

PEERS=${HELM_SIGSTORE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/helm-sigstore/peers}

INTEROP=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
declare -A PEER     # name -> program
declare -A MISSING  # name -> why it cannot be had

# Where python3 is a script that looks up on every call which Python is meant, once is enough: the suites ask often.
if PYTHON=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null) && [ -x "$PYTHON" ]; then
    PATH=$(dirname "$PYTHON"):$PATH
fi

# In the order of their use, and what takes long first.
obtain_peers() {
    mkdir -p "$PEERS"
    # Two runs at once would build everything twice; the second waits and finds it there.
    exec 9>"$PEERS/.lock"
    flock 9
    obtain cosign cosign-3.1.3 cosign from_go github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
    obtain helm-4 helm-4.3.1 helm from_go helm.sh/helm/v4/cmd/helm@v4.3.1 \
        -ldflags '-X helm.sh/helm/v4/internal/version.version=v4.3.1'
    obtain helm-3 helm-3.22.0 helm from_go helm.sh/helm/v3/cmd/helm@v3.22.0 \
        -ldflags '-X helm.sh/helm/v3/internal/version.version=v3.22.0'
    obtain sigstore-python sigstore-python-4.5.1 bin/sigstore from_pypi sigstore==4.5.1
    obtain_module Masterminds/semver "$INTEROP/constraints"
    obtain_module helm.sh/helm/v4-loader "$INTEROP/archives"
    if PEER[debian]=$(command -v docker-registry); then
        : # the machine's own
    else
        unset 'PEER[debian]'
        obtain debian docker-registry-debian usr/bin/docker-registry from_debian docker-registry
    fi
    obtain fulcio fulcio-1.8.8 fulcio from_go github.com/sigstore/fulcio@v1.8.8
    # What the public instance makes of the tokens of CI platforms.
    obtain fulcio-config fulcio-config-1.8.8 config.yaml from_go_module \
        github.com/sigstore/fulcio@v1.8.8 config/identity/config.yaml
    obtain rekor-tiles rekor-tiles-2.3.0 posix from_go github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix@v2.3.0
    obtain timestamp-authority timestamp-authority-2.1.3 timestamp-server \
        from_go github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server@v2.1.3
    obtain olareg olareg-0.2.2 olareg from_go_build github.com/olareg/olareg@v0.2.2 github.com/olareg/olareg/cmd/olareg
    obtain crane crane-0.21.9 crane from_go github.com/google/go-containerregistry/cmd/crane@v0.21.9
    obtain distribution distribution-3.1.1 registry \
        from_go github.com/distribution/distribution/v3/cmd/registry@v3.1.1
    obtain sigstore-go sigstore-go-1.2.1 conformance from_go github.com/sigstore/sigstore-go/test/conformance@v1.2.1
    obtain toxiproxy toxiproxy-2.5.0 server from_go github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
    obtain_more
    exec 9>&-
}

# The full set takes as long again: fetched only with FULL=1 (`run --full`), used wherever it is there already.
obtain_more() {
    if_full obtain cosign-3.0 cosign-3.0.6 cosign from_go github.com/sigstore/cosign/v3/cmd/cosign@v3.0.6
    if_full obtain cosign-2 cosign-2.6.4 cosign from_go github.com/sigstore/cosign/v2/cmd/cosign@v2.6.4
    if_full obtain rekor rekor-1.5.4 rekor-server from_go github.com/sigstore/rekor/cmd/rekor-server@v1.5.4
    if_full obtain rekor-cli rekor-cli-1.5.4 rekor-cli from_go github.com/sigstore/rekor/cmd/rekor-cli@v1.5.4
    if_full obtain go-plugin helm-sigstore-go-0.3.0 helm-sigstore from_go github.com/sigstore/helm-sigstore@v0.3.0
    if_full obtain trillian-server trillian-server-1.7.3 trillian_log_server \
        from_go github.com/google/trillian/cmd/trillian_log_server@v1.7.3 -tags mysql
    if_full obtain trillian-signer trillian-signer-1.7.3 trillian_log_signer \
        from_go github.com/google/trillian/cmd/trillian_log_signer@v1.7.3 -tags mysql
    if_full obtain trillian-schema trillian-schema-1.7.3 storage.sql \
        from_go_module github.com/google/trillian@v1.7.3 storage/mysql/schema/storage.sql
    if_full obtain mariadb mariadb-debian usr/sbin/mariadbd from_debian \
        mariadb-server-core mariadb-client-core libaio1 liburing2 libnuma1 libpcre2-8-0
    if_full obtain sigstore-js sigstore-js-3.1.1 node_modules/@sigstore/verify/package.json \
        from_npm @sigstore/verify@3.1.1 @sigstore/sign@4.1.1 @sigstore/bundle@4.0.0 @sigstore/protobuf-specs@0.5.0
    if_full obtain flux flux-1.9.1 verify from_go_copy github.com/fluxcd/source-controller@v1.9.1 ./verify in_flux
    if_full obtain policy-tester policy-tester-tuf-0.15.1 tester \
        from_go_copy github.com/sigstore/policy-controller@v0.15.1 ./cmd/tester in_policy_controller
    if_full obtain kyverno kyverno-1.19.0 kubectl-kyverno \
        from_go_copy github.com/kyverno/kyverno@v1.19.0 ./cmd/cli/kubectl-kyverno true
    if_full obtain gh gh-2.83.2 gh from_go_build github.com/cli/cli/v2@v2.83.2 github.com/cli/cli/v2/cmd/gh
    if_full obtain actionlint actionlint-1.7.9 actionlint from_go github.com/rhysd/actionlint/cmd/actionlint@v1.7.9
    if_full obtain oras oras-1.3.3 oras from_go oras.land/oras/cmd/oras@v1.3.3
    # Its module is refused by `go install`, so whoever has the program measures it.
    PEER[zot]=$(command -v zot) || { unset 'PEER[zot]'; MISSING[zot]="no zot on PATH"; }
    PEER[pwsh]=$(command -v pwsh) || { unset 'PEER[pwsh]'; MISSING[pwsh]="no pwsh on PATH"; }
}

# if_full obtain NAME FOLDER FILE …
if_full() {
    if [ -n "${FULL:-}" ] || [ -s "$PEERS/$3/$4" ]; then
        "$@"
    else
        MISSING[$2]="of the full set, which was not asked for (--full)"
    fi
}

# obtain NAME FOLDER FILE HOW ARGUMENT…: FILE is the program; HOW is given the folder to fill and the arguments.
obtain() {
    local name=$1 folder=$PEERS/$2 program=$PEERS/$2/$3 how=$4 log=$PEERS/$2.log
    shift 4
    if [ ! -s "$program" ]; then
        echo "fetching $name ($*)" >&2
        rm -rf "$folder"
        mkdir -p "$folder"
        # Without the lock: a grandchild that lingers would hold it for ever. In a place that stays, whatever becomes of
        # the clone meanwhile.
        if ! (set -e; cd "$folder"; "$how" "$folder" "$@") >"$log" 2>&1 9>&- </dev/null || [ ! -s "$program" ]; then
            MISSING[$name]=$(tail -n 1 "$log" | cut -c -200)
            MISSING[$name]=${MISSING[$name]:-cannot be fetched}
            rm -rf "$folder"
            return 0
        fi
        rm -f "$log"
    fi
    PEER[$name]=$program
}

# obtain_module NAME FOLDER: what the Go program in FOLDER needs, in Go's own cache.
obtain_module() {
    local said
    if ! command -v go >/dev/null; then
        MISSING[$1]="go is not installed"
    elif ! said=$(cd "$2" && timeout 300 go mod download 2>&1 9>&- </dev/null); then
        MISSING[$1]=$(tail -n 1 <<<"$said" | cut -c -200)
    fi
}

from_go() {
    command -v go >/dev/null || { echo "go is not installed"; return 1; }
    local folder=$1 module=$2
    shift 2
    CGO_ENABLED=0 GOFLAGS='' GOBIN=$folder timeout 1800 go install "$@" "$module"
}

# Where `go install` refuses the module: as what a module of nobody's needs.
from_go_build() {
    command -v go >/dev/null || { echo "go is not installed"; return 1; }
    local module=$1/module
    mkdir "$module"
    cd "$module"
    go mod init peer
    go mod edit -require "$2"
    CGO_ENABLED=0 GOFLAGS=-mod=mod timeout 1800 go build -o "$1/" "$3"
    rm -r "$module"
}

# Where the module's own `replace` lines have to count: in a copy of it, after a command there that is told the folder.
from_go_copy() {
    command -v go >/dev/null || { echo "go is not installed"; return 1; }
    local folder=$1 module=$2 package=$3 prepare=$4 source
    source=$(module_folder "$module") || { echo "$module cannot be had"; return 1; }
    cp -r "$source" "$folder/module"
    chmod -R u+w "$folder/module"
    cd "$folder/module"
    "$prepare" "$folder"
    CGO_ENABLED=0 GOFLAGS=-mod=mod timeout 1800 go build -o "$folder/" "$package"
    rm -rf "$folder/module"
}

module_folder() {
    timeout 300 go mod download -json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}

# Our program goes into source-controller, whose packages are nobody else's; and the definition of what it reads.
in_flux() {
    # Its API is another module, which lies beside it in the repository only.
    go mod edit -dropreplace github.com/fluxcd/source-controller/api -require github.com/fluxcd/source-controller/api@v1.9.1
    mkdir verify
    cp "$INTEROP/flux/main.go" verify/
    cp "$INTEROP/flux/controller.go" internal/controller/verified.go
    cp config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml "$1/"
}

# By TUF the tester asks for a target without a name; the controller asks for trusted_root.json, and so does this one.
# Of two modules that it wants, other versions can be had.
in_policy_controller() {
    local ggcr=github.com/google/go-containerregistry/pkg/authn
    go mod edit -replace github.com/golang/glog=github.com/jdolitsky/glog@v0.0.0-20220729172235-78744e90d087 \
        -replace "$ggcr/k8schain=$ggcr/k8schain@v0.0.0-20230919002926-dbcd01c402b2" \
        -replace "$ggcr/kubernetes=$ggcr/kubernetes@v0.0.0-20260224031529-85f2bf5f7303"
    sed -i 's/client, "")/client, "trusted_root.json")/' cmd/tester/trustroot.go
    grep -q 'client, "trusted_root.json")' cmd/tester/trustroot.go
}

# One file of a module.
from_go_module() {
    command -v go >/dev/null || { echo "go is not installed"; return 1; }
    local folder
    folder=$(module_folder "$2") || { echo "$2 cannot be had"; return 1; }
    cp "$folder/$3" "$1/"
    chmod u+w "$1/${3##*/}"
}

# A virtual environment knows its own path, so it is made where it stays.
from_pypi() {
    # Debian keeps the module in a package of its own.
    python3 -m venv "$1" || { apt-get install -y python3-venv && python3 -m venv --clear "$1"; }
    timeout 600 "$1/bin/pip" install --quiet "$2"
}

# A folder of modules, for programs that lie beside them.
from_npm() {
    command -v npm >/dev/null || { echo "npm is not installed"; return 1; }
    local folder=$1
    shift
    cd "$folder"
    timeout 300 npm install --no-save --no-audit --no-fund --ignore-scripts --prefix "$folder" "$@"
}

# Unpacked, not installed: no service is started, and nobody has to be root.
from_debian() {
    command -v dpkg-deb >/dev/null || { echo "not a Debian"; return 1; }
    cd "$1"
    shift
    timeout 120 apt-get download "$@" || { timeout 300 apt-get update && timeout 120 apt-get download "$@"; }
    local package
    for package in ./*.deb; do dpkg-deb -x "$package" .; done
    rm -f ./*.deb
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    [ "${1:-}" != --full ] || FULL=1
    obtain_peers
    for name in "${!PEER[@]}"; do echo "$name: ${PEER[$name]}"; done
    for name in "${!MISSING[@]}"; do echo "$name: cannot be had: ${MISSING[$name]}"; done
fi
