# shellcheck shell=bash
# Who else verifies charts, as their makers publish them: Flux's source-controller, Kyverno's CLI, policy-controller's
# tester, cosign in the workflow that we write. Each is given what `policy export` prints, and is to pass
# the chart and refuse everybody else's. Sourced by `run`.

USES+=([flux_verify]=flux [kyverno_apply]=kyverno [tester]=policy-tester [workflow]=cosign [actionlint]=actionlint
   )

# Registries with and without the referrers API.
CONSUMER_REGISTRIES=("olareg olareg olareg (referrers API)" "distribution distribution CNCF distribution 3 (fallback)")

consumers() {
    EXPORTS=$WORK/exports
    mkdir -p "$EXPORTS"
    make_consumer_keys
    for LOG in v1 v2; do
        start_kit "$LOG" || { failed_before "kit with log $LOG" "did not start"; continue; }
        consumers_of "${CONSUMER_REGISTRIES[@]}"
    done
    # With the services as their makers publish them, once.
    LOG=v2-real SIGNER=- PLACE="real Sigstore" NEEDS=
    # shellcheck disable=SC2086 # words
    not_measured "consumers" $STACK_PEERS && return
    start_stack || { failed_before "Fulcio, Rekor v2, timestamp authority" "did not start"; return; }
    KIT_TRUSTED_ROOT=$STACK_TRUSTED_ROOT KIT_SIGNING_CONFIG=$STACK_SIGNING_CONFIG
    consumers_of "${CONSUMER_REGISTRIES[0]}"
}

# With the Sigstore at hand: consumers_of REGISTRY…
consumers_of() {
    local registry name peer
    start_kits_tuf || { failed_before "kit tuf" "did not start"; return; }
    as_signer
    for registry in "$@"; do
        read -r name peer PLACE <<<"$registry"
        SIGNER=- NEEDS="$CHART_HELM $peer"
        not_measured "consumers" "$peer" "$CHART_HELM" && continue
        start_registry "$name" || { failed_before "$name" "did not start"; continue; }
        THOROUGH=
        [ "$LOG:$name" != v1:olareg ] || THOROUGH=1
        consumers_in "$REGISTRY"
    done
    NEEDS=
}

# The documents at hand by TUF, as an instance that policies can name.
start_kits_tuf() {
    STACK_TRUSTED_ROOT=$KIT_TRUSTED_ROOT STACK_SIGNING_CONFIG=$KIT_SIGNING_CONFIG
    start_tuf "consumers-$LOG" || return 1
    SIGNER=- PLACE="TUF (kit)" NEEDS=
    row -g '^Trusted: instance consumers' "helm-sigstore trust init" \
        helm_sigstore trust init "consumers-$LOG" --mirror "$KIT_TUF_URL" --root "$KIT_TUF_ROOT"
}

make_consumer_keys() {
    CONSUMER_KEYS=$WORK/consumer-keys
    mkdir -p "$CONSUMER_KEYS"
    export COSIGN_PASSWORD=interop
    local name
    SIGNER=- PLACE=file LOG=- NEEDS=
    for name in ours other; do
        row -g '^Key: sha256:' "helm-sigstore key generate" \
            helm_sigstore key generate --output-key-prefix "$CONSUMER_KEYS/$name"
    done
}

# What holds everywhere is measured once: as `row`.
refusal() { [ -z "$THOROUGH" ] || row "$@"; }

# exported CONSUMER REF FILE ARGUMENT…: what is printed for it.
exported() {
    local consumer=$1 ref=$2 file=$3
    shift 3
    helm_sigstore policy export "$consumer" "$ref" --plain-http "$@" >"$file"
}
by_root() { exported "$@" --trusted-root "$KIT_TRUSTED_ROOT"; }
by_instance() { exported "$@" --instance "consumers-$LOG"; }

# consumers_in HOST
consumers_in() {
    CHARTS_OF=oci://$1/consumers-$LOG
    local base=$CHARTS_OF chart format
    for chart in web api cache plain; do
        SIGNER=-
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
        DIGEST[$chart]=$(sed -n 's/^Digest: *//p' "$OUTPUT")
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base/keys"
    done
    # chart:format; plain stays unsigned. The older format wants a log that makes promises.
    FORMATS="web:bundle"
    [ "$LOG" != v1 ] || FORMATS="web:bundle api:legacy cache:both"
    for format in $FORMATS; do
        chart=${format%:*} format=${format#*:}
        SIGNER="helm-sigstore sign ($format)"
        row -g '^Attached: sha256:' "(signs)" sign "$base/$chart:1.4.2" --signature-format "$format"
        SIGNER="helm-sigstore sign --key ($format)"
        row -g '^Attached: sha256:' "(signs)" key_sign "$base/keys/$chart:1.4.2" --signature-format "$format" \
            --key "$CONSUMER_KEYS/ours.key"
    done
    for format in $FORMATS; do
        chart=${format%:*} format=${format#*:}
        SIGNER="helm-sigstore sign ($format)"
        flux_by_identity "$chart"
        kyverno_by_identity "$chart"
        policy_controller_by_identity "$chart" "$format"
        actions_by_identity "$chart"
        SIGNER="helm-sigstore sign --key ($format)"
        flux_by_key "$chart"
        kyverno_by_key "$chart"
        policy_controller_by_key "$chart" "$format"
        actions_by_key "$chart"
    done
    [ "$LOG" != v1 ] || copied_to_another_chart "$1"
    [ -z "$THOROUGH" ] || actions_of_two_subjects "$1"
    SIGNER=-
    row -e 3 "helm-sigstore policy export flux: unsigned" by_root flux "$base/plain:1.4.2" "$EXPORTS/none"
}

# A signature in the older format that was put beside another chart: copied_to_another_chart HOST.
copied_to_another_chart() {
    local file=$EXPORTS/copied image=$1/consumers-$LOG/copy/web object=$EXPORTS/copied.json to='s|/api|/copy/web|'
    SIGNER="helm-sigstore sign (legacy), copied to another chart"
    row "(copied)" copied_signature "$1" "consumers-$LOG/api" "${DIGEST[api]}" "consumers-$LOG/copy" "$CHARTS/web-1.4.2.tgz"
    row -e 5 -g '^error: manifest not signed' "helm-sigstore verify" verify "${TRUSTED[@]}" "oci://$image:1.4.2"
    by_root flux "$CHARTS_OF/api:1.4.2" "$file.flux" && by_instance kyverno "$CHARTS_OF/api:1.4.2" "$file.kyverno" &&
        by_root policy-controller "$CHARTS_OF/api:1.4.2" "$file.policy-controller"
    # It does not compare the digest that a signature in this format is about with the chart's.
    row -g '^verified: ' "Flux 1.9.1: passes it" flux_on "$file.flux" "$file.flux.other" "$to"
    source_object "oci://$image" "$object"
    row -e 1 -g 'pass: 0, fail: 1' "Kyverno 1.19.0" kyverno_on "$file.kyverno" "$object" "$to"
    row -e 1 -g 'no matching|digest|failed' "policy-controller 0.15.1" tester_on "$file.policy-controller" "$image:1.4.2" "$to"
}

# edited FROM TO EXPRESSION…: with what somebody else would have written.
edited() {
    local from=$1 to=$2
    shift 2
    sed "$@" "$from" >"$to" && ! cmp -s "$from" "$to"
}

# with_key FILE KEY: another key in what was exported, which holds one as lines or as a string.
with_key() {
    python3 - "$1" "$1.other" "$2" <<'PYTHON'
import json, re, sys
text, key = open(sys.argv[1]).read(), open(sys.argv[3]).read()
changed = re.sub(r"(?m)^( +)-----BEGIN PUBLIC KEY-----\n(?:\1.*\n)+?\1-----END PUBLIC KEY-----\n",
                 lambda found: "".join(found[1] + line + "\n" for line in key.splitlines()), text)
changed = re.sub(r'"-----BEGIN PUBLIC KEY-----[^"]*"', lambda _: json.dumps(key), changed)
assert changed != text
open(sys.argv[2], "w").write(changed)
PYTHON
}

# --- Flux: the code of its source-controller, on the objects that are printed.

flux_verify() { timeout 120 "${PEER[flux]}" "$(dirname "${PEER[flux]}")/source.toolkit.fluxcd.io_ocirepositories.yaml" "$@"; }
flux_on() { edited "$1" "$2" "$3" && flux_verify "$2"; }
USES+=([flux_on]=flux)

flux_by_identity() {
    local file=$EXPORTS/flux.yaml
    row "helm-sigstore policy export flux" by_root flux "$CHARTS_OF/$1:1.4.2" "$file"
    row -g '^verified: ' "Flux 1.9.1" flux_verify "$file"
    row -e 1 -g 'none of the expected identities matched|no matching|failed to verify' "Flux 1.9.1: another identity" \
        flux_on "$file" "$file.other" 's/^        subject: "^/&x/'
    refusal -e 1 "Flux 1.9.1: another issuer" flux_on "$file" "$file.other" 's/^      - issuer: "^/&x/'
    refusal -e 1 -g 'no signatures found|no matching' "Flux 1.9.1: unsigned" flux_on "$file" "$file.other" "s|/$1\"|/plain\"|"
    refusal -e 1 -g 'Unsupported value' "Flux 1.9.1: what its definition forbids" \
        flux_on "$file" "$file.other" 's/provider: cosign/provider: pgp/'
}

flux_by_key() {
    local file=$EXPORTS/flux-key.yaml
    row "helm-sigstore policy export flux --key" by_root flux "$CHARTS_OF/keys/$1:1.4.2" "$file" \
        --key "$CONSUMER_KEYS/ours.pub"
    row -g '^verified: ' "Flux 1.9.1 (key)" flux_verify "$file"
    row -e 1 -g 'no matching signatures' "Flux 1.9.1 (key): another key" flux_with_key "$file" "$CONSUMER_KEYS/other.pub"
    refusal -e 1 -g 'no matching signatures' "Flux 1.9.1 (key): unsigned" flux_on "$file" "$file.other" "s|/$1\"|/plain\"|"
}

flux_with_key() { with_key "$1" "$2" && flux_verify "$1.other"; }
USES+=([flux_with_key]=flux)

# --- Kyverno: its CLI, in JSON mode, on the objects that Flux would be given. Its cluster mode needs a cluster.

# kyverno_apply POLICY OBJECT
kyverno_apply() {
    python3 - "$1" "$1.json-mode.yaml" <<'PYTHON' || return 1
import re, sys
text = open(sys.argv[1]).read()
text = re.sub(r"(?m)^  matchConstraints:\n(?:    .*\n)+", "", text)
text = re.sub(r"(?m)^  evaluation:\n(?:    .*\n)+", "  evaluation:\n    mode: JSON\n", text)
open(sys.argv[2], "w").write(text)
PYTHON
    XDG_CONFIG_HOME=$WORK/kyverno HOME=$WORK/kyverno timeout 120 "${PEER[kyverno]}" apply "$1.json-mode.yaml" --json "$2" --registry --remove-color
}

# What Flux is told of a chart: source CHART FILE [TAG].
source_object() {
    printf '{"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "metadata": {"name": "web"}, "spec": {"url": "%s", "ref": {"tag": "%s"}}}\n' \
        "$1" "${3:-1.4.2}" >"$2"
}

# The same with a range of versions beside the tag: ranged_object CHART FILE.
ranged_object() {
    source_object "$1" "$2.tag" && sed 's/"ref": {/&"semver": ">=1.0.0", /' "$2.tag" >"$2"
}

kyverno_by_identity() {
    local file=$EXPORTS/kyverno.yaml object=$EXPORTS/kyverno.json
    source_object "$CHARTS_OF/$1" "$object"
    row "helm-sigstore policy export kyverno" by_instance kyverno "$CHARTS_OF/$1:1.4.2" "$file"
    row -g 'pass: 1, fail: 0' "Kyverno 1.19.0" kyverno_apply "$file" "$object"
    # The tag that stands beside a range is signed, and Flux takes the range.
    ranged_object "$CHARTS_OF/$1" "$object"
    refusal -e 1 -g 'pass: 0, fail: 1' "Kyverno 1.19.0: a range beside a signed tag" kyverno_apply "$file" "$object"
    source_object "$CHARTS_OF/$1" "$object"
    row -e 1 -g 'pass: 0, fail: 1' "Kyverno 1.19.0: another identity" kyverno_on "$file" "$object" 's/^              subject: "/&x/'
    refusal -e 1 -g 'pass: 0, fail: 1' "Kyverno 1.19.0: another issuer" kyverno_on "$file" "$object" 's/^            - issuer: "/&x/'
    source_object "$CHARTS_OF/plain" "$object"
    refusal -e 1 -g 'pass: 0, fail: 1' "Kyverno 1.19.0: unsigned" kyverno_on "$file" "$object" "s|/$1\"|/plain\"|; s|/$1\*|/plain*|"
}

kyverno_by_key() {
    local file=$EXPORTS/kyverno-key.yaml object=$EXPORTS/kyverno.json
    source_object "$CHARTS_OF/keys/$1" "$object"
    row "helm-sigstore policy export kyverno --key" by_instance kyverno "$CHARTS_OF/keys/$1:1.4.2" "$file" \
        --key "$CONSUMER_KEYS/ours.pub"
    row -g 'pass: 1, fail: 0' "Kyverno 1.19.0 (key)" kyverno_apply "$file" "$object"
    row -e 1 -g 'pass: 0, fail: 1' "Kyverno 1.19.0 (key): another key" kyverno_with_key "$file" "$object" "$CONSUMER_KEYS/other.pub"
}

kyverno_on() { edited "$1" "$1.other" "$3" && kyverno_apply "$1.other" "$2"; }
kyverno_with_key() { with_key "$1" "$3" && kyverno_apply "$1.other" "$2"; }
USES+=([kyverno_on]=kyverno [kyverno_with_key]=kyverno)

# --- policy-controller: its tester. It judges images of Pods, and charts are none; but it takes any reference.

# tester FILE REFERENCE ARGUMENT…: the exported documents, one a file as it wants them.
tester() {
    python3 - "$1" <<'PYTHON' || return 1
import sys
policy = trust = ""
for document in open(sys.argv[1]).read().split("\n---\n"):
    if "kind: TrustRoot\n" in document:
        trust = document + "\n"
    else:
        policy = document
open(sys.argv[1] + ".policy", "w").write(policy)
open(sys.argv[1] + ".trust", "w").write(trust)
PYTHON
    local trust=()
    [ ! -s "$1.trust" ] || trust=(--trustroot "$1.trust")
    timeout 120 "${PEER[policy-tester]}" --policy "$1.policy" --image "$2" "${trust[@]}" "${@:3}"
}
tester_on() { edited "$1" "$1.other" "$3" && tester "$1.other" "$2" "${@:4}"; }
tester_with_key() { with_key "$1" "$3" && tester "$1.other" "$2"; }
USES+=([tester_on]=policy-tester [tester_with_key]=policy-tester)

policy_controller_by_identity() {
    local file=$EXPORTS/policy-controller.yaml image=${CHARTS_OF#oci://}/$1@${DIGEST[$1]}
    row "helm-sigstore policy export policy-controller" by_instance policy-controller "$CHARTS_OF/$1:1.4.2" "$file"
    policy_controller_judges "$file" "$image" "policy-controller 0.15.1, instance"
    if [ "$2" = bundle ]; then
        row -e 2 -g 'only with a root from TUF' "helm-sigstore policy export policy-controller: keys one by one" \
            by_root policy-controller "$CHARTS_OF/$1:1.4.2" "$file"
        return
    fi
    row "helm-sigstore policy export policy-controller" by_root policy-controller "$CHARTS_OF/$1:1.4.2" "$file"
    policy_controller_judges "$file" "$image" "policy-controller 0.15.1, keys one by one"
}

# policy_controller_judges FILE IMAGE WORDS
policy_controller_judges() {
    row -g 'Verification was successful' "$3" tester "$1" "$2"
    row -e 1 -g 'none of the expected identities|no matching' "$3: another identity" tester_on "$1" "$2" 's/^            subject: "/&x/'
    refusal -e 1 -g 'no (matching )?signatures|no valid bundles' "$3: unsigned" \
        tester_on "$1" "${CHARTS_OF#oci://}/plain@${DIGEST[plain]}" "s|/$chart|/plain|"
}

policy_controller_by_key() {
    local file=$EXPORTS/policy-controller-key.yaml image=${CHARTS_OF#oci://}/keys/$1@${DIGEST[$1]}
    if [ "$2" = bundle ]; then
        row -e 2 -g 'no bundles by a key' "helm-sigstore policy export policy-controller --key: bundles" by_instance \
            policy-controller "$CHARTS_OF/keys/$1:1.4.2" "$file" --key "$CONSUMER_KEYS/ours.pub"
        return
    fi
    row "helm-sigstore policy export policy-controller --key" by_root policy-controller "$CHARTS_OF/keys/$1:1.4.2" "$file" \
        --key "$CONSUMER_KEYS/ours.pub"
    row -g 'Verification was successful' "policy-controller 0.15.1 (key)" tester "$file" "$image"
    row -e 1 -g 'no matching|invalid signature|failed' "policy-controller 0.15.1 (key): another key" \
        tester_with_key "$file" "$image" "$CONSUMER_KEYS/other.pub"
}

# --- GitHub Actions: the step of the workflow, with cosign, as the runner's shell runs it.

# workflow FILE: its environment and script; prints what it answers.
workflow() {
    local dir
    dir=$(mktemp -d "$WORK/workflow.XXXXXX") || return 1
    ln -s "${PEER[cosign]}" "$dir/cosign"
    python3 - "$1" "$dir" <<'PYTHON' || return 1
import json, re, sys
text, folder = open(sys.argv[1]).read(), sys.argv[2]
step = text[text.index("- id: verify"):]
environment = dict(re.findall(r'(?m)^          ([A-Z_0-9]+): (".*")$', step[:step.index("run: |")]))
with open(folder + "/environment", "wb") as out:
    for name, value in environment.items():
        out.write(f"{name}={json.loads(value)}\0".encode())
script = step[step.index("run: |\n") + len("run: |\n"):]
with open(folder + "/script", "w") as out:
    out.writelines(line[10:] + "\n" for line in script.splitlines())
PYTHON
    local environment=()
    mapfile -d '' environment <"$dir/environment"
    mkdir "$dir/temp"
    : >"$dir/output"
    (cd "$dir" && env "${environment[@]}" PATH="$dir:$PATH" RUNNER_TEMP="$dir/temp" GITHUB_OUTPUT="$dir/output" \
        timeout 120 bash --noprofile --norc -eo pipefail "$dir/script") || return
    cat "$dir/output"
}
workflow_on() { edited "$1" "$1.other" "$2" && workflow "$1.other"; }
USES+=([workflow_on]=cosign)
actionlint() { timeout 120 "${PEER[actionlint]}" -no-color -shellcheck= -pyflakes= "$@"; }

actions_by_identity() {
    local file=$EXPORTS/workflow.yml
    row "helm-sigstore policy export github-actions" by_root github-actions "$CHARTS_OF/$1:1.4.2" "$file"
    row "actionlint 1.7.9" actionlint "$file"
    row -g "^digest-ref=$CHARTS_OF/$1@${DIGEST[$1]}\$" "GitHub Actions, cosign 3.1" workflow "$file"
    row -e refused -g 'none of the expected identities|expected SAN|no matching' "GitHub Actions, cosign 3.1: another identity" \
        workflow_on "$file" 's/^          IDENTITY_1: "^/&x/'
    refusal -e refused -g 'GithubWorkflowRepository|GitHub Workflow Repository' "GitHub Actions, cosign 3.1: another source" \
        workflow_on "$file" 's/^          WORKFLOW_REPOSITORY_1: "/&x/'
    refusal -e refused "GitHub Actions, cosign 3.1: unsigned" workflow_on "$file" "s|/$1:1.4.2\"|/plain:1.4.2\"|"
}

# A statement whose first subject is the index that holds the chart, and another manifest: actions_of_two_subjects HOST.
actions_of_two_subjects() {
    local file=$EXPORTS/workflow-two.yml ref=$CHARTS_OF/two/web digest
    SIGNER=-
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$CHARTS_OF/two"
    digest=$(sed -n 's/^Digest: *//p' "$OUTPUT")
    row "(an index)" index_of "$1" "${ref#"oci://$1/"}" "$digest" indexed
    SIGNER="helm-sigstore sign (bundle, of an index)"
    row -g '^Attached: sha256:' "(signs)" sign "$ref:indexed" --signature-format bundle
    row "helm-sigstore policy export github-actions" by_root github-actions "$ref@$digest" "$file"
    row -g "^digest-ref=$ref@$digest\$" "GitHub Actions, cosign 3.1: the second subject" workflow "$file"
}

# index_of HOST REPOSITORY DIGEST TAG: an image index with this one manifest.
index_of() {
    python3 - "$@" <<'PYTHON'
import json, sys, urllib.request
host, repository, digest, tag = sys.argv[1:]
kind, index = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
base = f"http://{host}/v2/{repository}/manifests/"
fetched = urllib.request.Request(base + digest, headers={"Accept": kind})
size = len(urllib.request.urlopen(fetched, timeout=30).read())
entry = {"mediaType": kind, "digest": digest, "size": size}
document = json.dumps({"schemaVersion": 2, "mediaType": index, "manifests": [entry]}).encode()
sent = urllib.request.Request(base + tag, data=document, method="PUT", headers={"Content-Type": index})
urllib.request.urlopen(sent, timeout=30)
PYTHON
}

actions_by_key() {
    local file=$EXPORTS/workflow-key.yml
    row "helm-sigstore policy export github-actions --key" by_root github-actions "$CHARTS_OF/keys/$1:1.4.2" "$file" \
        --key "$CONSUMER_KEYS/ours.pub"
    row -g "^digest-ref=$CHARTS_OF/keys/$1@${DIGEST[$1]}\$" "GitHub Actions, cosign 3.1 (key)" workflow "$file"
    row -e refused "GitHub Actions, cosign 3.1 (key): another key" \
        workflow_with_key "$file" "$CONSUMER_KEYS/other.pub"
}
workflow_with_key() { with_key "$1" "$2" && workflow "$1.other"; }
USES+=([workflow_with_key]=cosign)
