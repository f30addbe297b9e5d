#!/bin/sh
# Puts the program into bin/ of the plugin; the install and the update hook of plugin.yaml.
#
# Helm 4 passes nothing but HELM_PLUGIN_NAME and HELM_PLUGIN_DIR to a hook, so nothing else of Helm's is relied upon.
# There is no release yet, so cargo builds the program, unless one of these says otherwise:
#
#   HELM_SIGSTORE_BINARY=/path       install this program; nothing is downloaded or built
#   HELM_SIGSTORE_DOWNLOAD_URL=URL   install URL/helm-sigstore-VERSION-OS-ARCH, VERSION being that of plugin.yaml; what
#                                    comes must have the SHA-256 digest that is known beforehand:
#   HELM_SIGSTORE_SHA256=HEX         that digest; else its line in checksums.txt beside this file (form of sha256sum)
#   HELM_SIGSTORE_SKIP_INSTALL=1     do nothing
#
# `install-binary.sh build` only builds, and says where the program is.
set -eu

# Bytes of a program that are downloaded at most, and seconds that this may take.
MAX_BYTES=209715200
MAX_SECONDS=600

say() { printf 'helm-sigstore: %s\n' "$*" >&2; }

# A failed hook leaves the plugin's directory behind, and Helm then refuses to install into it.
fail() {
    say "$@"
    if [ -n "$called_by_helm" ]; then
        say "run: helm plugin uninstall sigstore and retry"
    fi
    exit 1
}

# The value of a top-level key of a manifest, without quotes and comment.
manifest_value() {
    sed -n "s/^$2:[[:space:]]*//p" "$1" | sed -n '1{s/[[:space:]]#.*//;s/[[:space:]]*$//;s/^"\(.*\)"$/\1/;s/^'"'"'\(.*\)'"'"'$/\1/;p;}'
}

# With two plugins of one name Helm loads none at all, and cannot uninstall either of them: so this one goes.
refuse_to_shadow() {
    parent=$(dirname -- "$dir")
    own=$(basename -- "$dir")
    for manifest in "$parent"/*/plugin.yaml; do
        other=$(dirname -- "$manifest")
        [ -f "$manifest" ] || continue
        [ "$(basename -- "$other")" != "$own" ] || continue
        [ "$(manifest_value "$manifest" name)" = sigstore ] || continue
        say "another plugin is named sigstore: $other"
        if remove_own_directory; then
            say "this one was removed again; to replace the other, run: helm plugin uninstall sigstore and retry"
        else
            say "Helm loads no plugin until one is removed, for example: rm -r '$other'"
        fi
        exit 1
    done
}

# Removes the copy that Helm made. A plugin from a local directory is a link to that directory, which is the user's:
# only the link goes. Anywhere but among Helm's plugins nothing is touched.
remove_own_directory() {
    if [ -L "$dir" ]; then
        rm -f -- "$dir"
    elif [ "$parent" = "${HELM_PLUGINS:-}" ] || [ "$(basename -- "$parent")" = plugins ]; then
        rm -rf -- "$dir"
    else
        return 1
    fi
}

# The platform as Go, and so Helm, names it.
platform() {
    os=$(uname -s)
    arch=$(uname -m)
    case $os in
        Linux) os=linux ;;
        Darwin) os=darwin ;;
        *) fail "no program is offered for $os; build it there, or set HELM_SIGSTORE_BINARY=/path/to/helm-sigstore" ;;
    esac
    case $arch in
        x86_64 | amd64) arch=amd64 ;;
        aarch64 | arm64) arch=arm64 ;;
        *) fail "no program is offered for $os on $arch; build it there, or set HELM_SIGSTORE_BINARY=/path/to/helm-sigstore" ;;
    esac
    echo "$os-$arch"
}

# The digest that file $1 of the release has to have: 64 hexadecimal digits in lower case, or nothing.
known_digest() {
    if [ -n "${HELM_SIGSTORE_SHA256:-}" ]; then
        printf '%s\n' "$HELM_SIGSTORE_SHA256"
    elif [ -f "$dir/checksums.txt" ]; then
        awk -v name="$1" '{ sub(/\r$/, "") } $2 == name || $2 == "*" name { print $1; exit }' "$dir/checksums.txt"
    fi | tr 'A-F' 'a-f' | grep -Ex '[0-9a-f]{64}' || :
}

digest_of() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1"
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 256 <"$1"
    elif command -v openssl >/dev/null 2>&1; then
        openssl dgst -sha256 -r <"$1"
    else
        fail "sha256sum, shasum or openssl is needed to check what is downloaded"
    fi | cut -d ' ' -f 1
}

# Puts $1 into file $2, or fails: an error page is no program. Plain http only on this machine.
fetch() {
    case $1 in
        https://*) scheme='=https' ;;
        http://127.0.0.1[:/]* | http://localhost[:/]* | http://\[::1\][:/]*) scheme='=http' ;;
        *) fail "HELM_SIGSTORE_DOWNLOAD_URL does not begin with https://" ;;
    esac
    if command -v curl >/dev/null 2>&1; then
        curl -fsSL --proto "$scheme" --proto-redir '=https' --retry 3 --connect-timeout 20 \
            --max-time "$MAX_SECONDS" --max-filesize "$MAX_BYTES" -o "$2" -- "$1"
    elif command -v wget >/dev/null 2>&1; then
        # It knows no bound of its own.
        (ulimit -f $((MAX_BYTES / 512)) && wget -q -T 20 -t 3 -O "$2" -- "$1")
    else
        fail "curl or wget is needed to download helm-sigstore"
    fi || fail "cannot download ${1##*/}"
}

# Downloads the program, unless it is in place already.
download() {
    file=helm-sigstore-$version-$(platform)
    digest=$(known_digest "$file")
    [ -n "$digest" ] ||
        fail "the SHA-256 digest of $file is not known, so nothing is downloaded;" \
            "set HELM_SIGSTORE_SHA256 to its 64 hexadecimal digits"
    if [ -f "$program" ] && [ "$(digest_of "$program")" = "$digest" ]; then
        return
    fi
    mkdir -p -- "$dir/bin"
    fetched="$dir/bin/.fetched.$$"
    trap 'rm -f -- "$fetched"' EXIT
    trap 'exit 1' HUP INT TERM
    fetch "${HELM_SIGSTORE_DOWNLOAD_URL%/}/$file" "$fetched"
    found=$(digest_of "$fetched")
    [ "$found" = "$digest" ] || fail "$file is not what it has to be
  expected  sha256:$digest
  found     sha256:$found"
    install_program "$fetched"
    rm -f -- "$fetched"
}

answers_with() { [ "$("$1" version --short 2>/dev/null)" = "$2" ]; }

# The target of a program that needs nothing of the machine that it runs on, where this machine can build one: with
# Rust's library for musl (rustup target add) and musl's C compiler (musl-tools in Debian).
static_target() {
    [ "$(uname -s)" = Linux ] || return 1
    arch=$(uname -m)
    libraries=$(cd -- "$dir" && rustc --print target-libdir --target "$arch-unknown-linux-musl" 2>/dev/null) || return 1
    [ -d "$libraries" ] || return 1
    command -v "$arch-linux-musl-gcc" >/dev/null 2>&1 ||
        { [ "$arch" = x86_64 ] && command -v musl-gcc >/dev/null 2>&1; } || return 1
    echo "$arch-unknown-linux-musl"
}

# Sets `built` to the program that cargo built. cargo itself decides what has to be built anew, so that what is
# installed is never older than its sources.
build() {
    command -v cargo >/dev/null 2>&1 ||
        fail "there is no release to download yet, and cargo (https://rustup.rs) is not here to build helm-sigstore;" \
            "or build it elsewhere and set HELM_SIGSTORE_BINARY=/path/to/helm-sigstore"
    say "building helm-sigstore $version with cargo; the first time this takes some minutes"
    # Randomness comes from the operating system and the processor's generator. Its jitter, as a third source, would cost
    # every process 25 ms before its first key or TLS connection.
    export AWS_LC_SYS_NO_JITTER_ENTROPY=1
    # A toolchain file or a .cargo/config.toml counts for whoever stands in the directory.
    target=$(static_target) || target=
    artifacts=$(cd -- "$dir" && cargo build --release --locked -p helm-sigstore --bin helm-sigstore \
        ${target:+--target "$target"} --message-format json-render-diagnostics) ||
        fail "cargo could not build helm-sigstore $version ($(cargo --version))"
    built=$(printf '%s\n' "$artifacts" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    [ -n "$built" ] || fail "cargo did not say where it put helm-sigstore"
}

# Copies $1 to bin/helm-sigstore at once or not at all: whoever runs the old program meanwhile keeps it.
install_program() {
    mkdir -p -- "$dir/bin"
    new="$dir/bin/.helm-sigstore.$$"
    trap 'rm -f -- "$new" "${fetched:-$new}"' EXIT
    trap 'exit 1' HUP INT TERM
    { cp -- "$1" "$new" && chmod 755 "$new"; } || fail "cannot copy $1 to $dir/bin"
    answers_with "$new" "$version" ||
        fail "$1 is not helm-sigstore $version; its answer to 'version --short': '$("$new" version --short 2>&1 | head -n 1)'"
    mv -f -- "$new" "$program" || fail "cannot write $program"
}

main() {
    [ "${HELM_SIGSTORE_SKIP_INSTALL:-}" != 1 ] || exit 0
    called_by_helm=${HELM_PLUGIN_NAME:+yes}
    dir=${HELM_PLUGIN_DIR:-$(dirname -- "$0")}
    while [ "$dir" != / ] && [ "$dir" != "${dir%/}" ]; do dir=${dir%/}; done
    case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
    [ -z "$called_by_helm" ] || refuse_to_shadow

    version=$(manifest_value "$dir/plugin.yaml" version)
    [ -n "$version" ] || fail "$dir/plugin.yaml names no version"
    if [ "${1:-}" = build ]; then
        build
        printf '%s\n' "$built"
        exit 0
    fi
    program="$dir/bin/helm-sigstore"

    if [ -n "${HELM_SIGSTORE_BINARY:-}" ]; then
        [ -f "$HELM_SIGSTORE_BINARY" ] || fail "HELM_SIGSTORE_BINARY: no such file: $HELM_SIGSTORE_BINARY"
        install_program "$HELM_SIGSTORE_BINARY"
    elif [ -n "${HELM_SIGSTORE_DOWNLOAD_URL:-}" ]; then
        download
    elif [ -f "$dir/Cargo.toml" ]; then
        build
        install_program "$built"
    elif ! answers_with "$program" "$version"; then
        # Not a clone, so an archive that should have brought the program.
        fail "$program is missing or is not version $version, and there are no sources to build it from"
    fi
    say "helm-sigstore $version is in place: $program"
}

main "$@"
