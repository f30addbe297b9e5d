# shellcheck shell=bash
# The table of docs/references.md, measured: what Helm 3, Helm 4 and helm-sigstore find behind the same words. Sourced
# by `run`.

references() {
    LOG=v1
    SIGNER=-
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    local home=$WORK/homes/references helm line=0 lines reference flags
    # Which Helm makes the charts makes no difference; both have to be there to be compared.
    NEEDS="helm-4 helm-3"
    as_helm helm-4 "$home"
    row "charts and tags of the table" stored_as_the_page_says "$home/charts"
    lines=$(table_line count)
    for ((line = 0; line < lines; line++)); do
        reference=$(table_line "$line" reference) flags=$(table_line "$line" flags)
        for helm in helm-3 helm-4 helm-sigstore; do
            PLACE=$helm
            NEEDS="helm-4 helm-3"
            as_helm "$helm" "$home"
            row "${reference//0000000/}${flags:+ $flags}" finds_what_the_page_says "$helm" "$line" "$home/charts"
        done
    done
}

# The registry that the page describes.
stored_as_the_page_says() (
    mkdir -p "$1" && cd "$1" || return 1
    local version
    helm create web || return 1
    for version in 1.4.2 1.10.0 2.0.0-rc.1 1.3.0+build.5 v1.5.0; do
        helm package web --version "$version" &&
            helm push --plain-http "web-$version.tgz" "oci://$KIT_REGISTRY/charts" || return 1
    done
    python3 - "$KIT_REGISTRY" <<'PYTHON'
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
base, manifest = f"http://{sys.argv[1]}/v2/charts/web/manifests/", "application/vnd.oci.image.manifest.v1+json"
zeros = "sha256-" + 64 * "0"
for tag, version in {"latest": "1.10.0", "1.4": "1.4.2", zeros: "1.4.2", zeros + ".sig": "1.4.2"}.items():
    body = opener.open(urllib.request.Request(base + version, headers={"Accept": manifest})).read()
    opener.open(urllib.request.Request(base + tag, data=body, method="PUT", headers={"Content-Type": manifest}))
PYTHON
)

# finds_what_the_page_says WHO LINE CHARTS: compares what WHO finds with the cell of the table.
finds_what_the_page_says() {
    local found expected folder digest words
    digest=$(python3 - "$KIT_REGISTRY" <<'PYTHON'
import hashlib, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
request = urllib.request.Request(f"http://{sys.argv[1]}/v2/charts/web/manifests/1.4.2",
                                 headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
print("sha256:" + hashlib.sha256(opener.open(request).read()).hexdigest())
PYTHON
    ) || return 1
    mapfile -d '' -t words < <(table_line "$2" words "$KIT_REGISTRY" "$digest")
    expected=$(table_line "$2" "$1")
    case $1 in
        helm-sigstore) found=$(found_by_us "$3" "${words[@]}") ;;
        *)
            folder=$(mktemp -d "$WORK/pulled.XXXXXX")
            if helm pull "${words[@]}" --plain-http --destination "$folder"; then
                found=$(version_of "$3" "$(sha256sum <"$folder"/*.tgz)")
            else
                found=—
            fi
            rm -r "$folder"
            ;;
    esac
    echo "found $found, the page says $expected"
    [ "$found" = "$expected" ]
}

# Nothing is signed here: whoever finds a chart says that it is unsigned.
found_by_us() {
    local charts=$1 code=0 layer
    shift
    helm_sigstore verify "$@" --plain-http -o json --trusted-root "$KIT_TRUSTED_ROOT" \
        --certificate-identity nobody --certificate-oidc-issuer https://nobody.example >"$WORK/verdict.json" || code=$?
    [ "$code" -eq 3 ] || { echo "exit $code"; return; }
    layer=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["results"][0]["chartDigest"])' "$WORK/verdict.json")
    version_of "$charts" "${layer#sha256:}"
}

# version_of CHARTS DIGEST: the version of the packaged chart of that SHA-256.
version_of() {
    local file
    for file in "$1"/*.tgz; do
        [ "$(sha256sum <"$file")" = "${2%% *}  -" ] || continue
        file=${file##*/web-}
        echo "${file%.tgz}"
        return
    done
    echo "another chart"
}

# table_line count, or table_line N reference|flags|helm-3|helm-4|helm-sigstore, or table_line N words HOST DIGEST: the
# arguments of the line, each ended by a zero byte.
table_line() {
    python3 - "$ROOT/docs/references.md" "$@" <<'PYTHON'
import re, shlex, sys
page, number, *what = sys.argv[1:]
rows = []
for line in open(page, encoding="utf-8"):
    if line.startswith("| `"):
        cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
        rows.append([cell.strip().strip("`").replace("\\|", "|") for cell in cells])
if number == "count":
    print(len(rows))
    sys.exit()
row = rows[int(number)]
if what[0] != "words":
    print(row[["reference", "flags", "helm-3", "helm-4", "helm-sigstore"].index(what[0])])
    sys.exit()
host, digest = what[1:]
reference = re.sub("(?<![A-Z])HOST", host, row[0]).replace("PORT", host.rsplit(":")[1]).replace("DIGEST", digest)
sys.stdout.write("".join(word + "\0" for word in [reference, *shlex.split(row[1])]))
PYTHON
}
