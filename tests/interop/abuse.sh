# shellcheck shell=bash
# Registries that go away, are in a hurry, or are behind a bad line: every command ends with the right exit code, and
# what did not sign left nothing that looks like a signature. Sourced by `run`.

abuse() {
    LOG=v1
    start_kit v1 || { failed_before "kit with log v1" "did not start"; return; }
    as_signer
    SIGNER=- PLACE="CNCF distribution 2.8, restarted"
    # From before the first request until after the last.
    not_measured "sign and verify" debian "$CHART_HELM" || restarts debian "0.2 0.8 1.4 2 2.6 3.2 4" "0.05 0.2 0.4 0.6"
    SIGNER=- PLACE="olareg (referrers API), restarted"
    not_measured "sign and verify" olareg "$CHART_HELM" || restarts olareg "0.5 1.5 2.5" "0.2 0.5"
    SIGNER=- PLACE="olareg, rate limit"
    not_measured "sign and verify" olareg "$CHART_HELM" || rate_limit
    SIGNER=- PLACE="toxiproxy"
    not_measured "sign and verify" toxiproxy olareg "$CHART_HELM" || bad_lines
}

# A registry whose port and folder stay when it is started again: fixed_registry debian|olareg ARGUMENT…; sets FIXED and
# FIXED_PID.
fixed_registry() {
    local dir=$WORK/fixed-$1 known=FIXED_$1 command
    mkdir -p "$dir"
    FIXED=${!known:-127.0.0.1:$(free_ports 1)}
    printf -v "$known" %s "$FIXED"
    if [ "$1" = debian ]; then
        cat >"$dir/config.yml" <<YAML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $dir/storage}}
http: {addr: "$FIXED"}
YAML
        command=("${PEER[debian]}" serve "$dir/config.yml")
    else
        command=("${PEER[olareg]}" serve --addr 127.0.0.1 --port "${FIXED##*:}" --store-type dir --dir "$dir/storage")
    fi
    env OTEL_TRACES_EXPORTER=none "${command[@]}" "${@:2}" >"$dir/log" 2>&1 </dev/null &
    FIXED_PID=$!
    SERVERS+=("$FIXED_PID")
    wait_for_answer "$dir/log" "http://$FIXED/v2/" "$FIXED_PID"
}

# Through the kit's proxy every response takes so long that "in the middle" is no matter of luck.
slow_line() {
    local line
    : >"$WORK/proxy.log"
    "$KIT" proxy "$1" >"$WORK/proxy.log" 2>&1 </dev/null &
    SERVERS+=($!)
    line=$(wait_for "$WORK/proxy.log" '^ready' $!) || return 1
    read -r _ SLOW SLOW_CONTROL <<<"$line"
    python3 -c 'import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1])' "$SLOW_CONTROL/reset?delay=$2"
}

# restarts NAME MOMENTS-OF-SIGN MOMENTS-OF-VERIFY
restarts() {
    local name=$1
    fixed_registry "$name" || { failed_before "$name" "did not start"; return; }
    slow_line "$FIXED" 300 || { failed_before "kit proxy" "did not start"; return; }
    local base="oci://$FIXED/acme/restart" slow="oci://$SLOW/acme/restart" after chart
    for chart in web api; do
        row -g '^Digest: sha256:' "push of $chart" push "$CHARTS/$chart-1.4.2.tgz" "$base"
    done
    for after in $2; do
        SIGNER="helm-sigstore sign REF"
        row -g '^Digest: sha256:' "push for a restart after $after s" push "$CHARTS/cache-1.4.2.tgz" "oci://$FIXED/acme/restart-$after"
        row "(sign): restarted after $after s: all or nothing" \
            all_or_nothing "$after" "oci://$SLOW/acme/restart-$after/cache:1.4.2" "oci://$FIXED/acme/restart-$after/cache:1.4.2"
    done
    row -g '^Attached: sha256:' "(signs)" sign "$base/web:1.4.2"
    for after in $3; do
        row "helm-sigstore verify REF: restarted after $after s" \
            in_the_middle "$after" yes "0 4" verify "${TRUSTED[@]}" "$slow/web:1.4.2"
    done
    # What is gone in the middle is not unsigned.
    SIGNER=-
    for after in $3; do
        row "helm-sigstore verify REF: unsigned, gone after $after s" \
            in_the_middle "$after" no "4" verify "${TRUSTED[@]}" --timeout 20s "$slow/api:1.4.2"
        fixed_registry "$name" || failed_before "$name" "did not start again"
    done
    row -e 3 -g '^error: unsigned' "helm-sigstore verify REF: there again" verify "${TRUSTED[@]}" "$base/api:1.4.2"
    kill "$FIXED_PID"
    wait "$FIXED_PID" 2>/dev/null
}

# in_the_middle SECONDS AGAIN CODES COMMAND…: kills the registry $name so long after the command began; AGAIN=yes starts it
# again. Right is one of the exit codes; sets CODE.
in_the_middle() {
    local after=$1 again=$2 codes=$3 pid
    shift 3
    "$@" &
    pid=$!
    sleep "$after"
    kill -9 "$FIXED_PID"
    wait "$FIXED_PID" 2>/dev/null
    [ "$again" = no ] || { sleep 0.3; fixed_registry "$name"; }
    CODE=0
    wait "$pid" || CODE=$?
    echo "exit code $CODE"
    case " $codes " in *" $CODE "*) return 0 ;; *) return 1 ;; esac
}

# all_or_nothing SECONDS SLOW-REF REF: who is told "signed" has signed; who is told "undecided" left a chart that is
# unsigned or signed as a whole, and signs it in a second run.
all_or_nothing() {
    in_the_middle "$1" yes "0 4" sign "$2" || return 1
    whole "$CODE" "$3"
}

# whole CODE REF
whole() {
    local code=0
    verify "${TRUSTED[@]}" "$2" || code=$?
    echo "verify after it: exit code $code"
    if [ "$1" = 0 ]; then
        [ "$code" = 0 ]
    else
        { [ "$code" = 3 ] || [ "$code" = 0 ]; } && sign "$2" && verify "${TRUSTED[@]}" "$2"
    fi
}

rate_limit() {
    local port base n list=$WORK/rate-list
    port=$(free_ports 1)
    mkdir -p "$WORK/rate"
    "${PEER[olareg]}" serve --addr 127.0.0.1 --port "$port" --store-type mem --rate-limit 20 >"$WORK/rate/log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for_port "$port" || { failed_before "olareg" "did not start"; return; }
    base="oci://127.0.0.1:$port/acme/rate"
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$base"
    sleep 1
    SIGNER="helm-sigstore sign REF"
    row -g '^Attached: sha256:' "(signs)" sign "$base/web:1.4.2"
    sleep 1
    row -g '\(signed: manifest and chart\)' "helm-sigstore verify REF" verify "${TRUSTED[@]}" "$base/web:1.4.2"
    # Far more than is allowed: waits as it is told to, or says that it could not ask. Never "unsigned", never "refused".
    for n in $(seq 60); do echo "$base/web:1.4.2"; done >"$list"
    row "helm-sigstore verify @LIST: 60 references, 20 requests a second" \
        answers_or_asks_again verify "${TRUSTED[@]}" --timeout 100s "@$list"

    # Signing by itself, without any time to breathe. Through the proxy, which counts what was turned away.
    slow_line "127.0.0.1:$port" 0 || { failed_before "kit proxy" "did not start"; return; }
    SIGNER="helm-sigstore sign REF, four at once"
    for n in 1 2 3 4; do
        sleep 1
        row -g '^Digest: sha256:' "push of cache" push "$CHARTS/cache-1.4.2.tgz" "$base-$n"
    done
    row -g '^turned away: [1-9]' "(sign): pressed into 429" pressed 4 "0 4" "oci://$SLOW/acme/rate" --timeout 60s
    for n in 1 2 3 4; do
        sleep 1
        row "(sign): nothing half attached" whole "$(cat "$WORK/pressed-$n")" "$base-$n/cache:1.4.2"
    done
    # For longer than it has time.
    SIGNER="helm-sigstore sign REF" PLACE="olareg, one request a second"
    fixed_registry olareg || { failed_before "olareg" "did not start"; return; }
    base="oci://$FIXED/acme/hurried"
    row -g '^Digest: sha256:' "push of cache" push "$CHARTS/cache-1.4.2.tgz" "$base"
    restarted olareg --rate-limit 1 || { failed_before "olareg" "did not start"; return; }
    slow_line "$FIXED" 0 || { failed_before "kit proxy" "did not start"; return; }
    row -e 4 -g '^turned away: [1-9]' "(sign): pressed into 429, and out of time" \
        turned_away sign --timeout 3s "oci://$SLOW/acme/hurried/cache:1.4.2"
    restarted olareg || { failed_before "olareg" "did not start"; return; }
    row "(sign): nothing half attached" whole 4 "$base/cache:1.4.2"
}

# restarted NAME ARGUMENT…
restarted() {
    kill "$FIXED_PID"
    wait "$FIXED_PID" 2>/dev/null
    fixed_registry "$@"
}

# pressed COUNT CODES BASE ARGUMENT…: signs BASE-1 to BASE-COUNT at once; right is one of the exit codes, for each.
pressed() {
    local count=$1 codes=$2 base=$3 n code pids=() wrong=0
    shift 3
    proxy_counts reset >/dev/null || return 1
    for n in $(seq "$count"); do
        sign "$@" "$base-$n/cache:1.4.2" >"$WORK/pressed-$n.said" 2>&1 &
        pids+=($!)
    done
    for n in $(seq "$count"); do
        code=0
        wait "${pids[n - 1]}" || code=$?
        echo "$code" >"$WORK/pressed-$n"
        echo "exit code $code"
        grep -E -m 3 '^error|cause' "$WORK/pressed-$n.said"
        case " $codes " in *" $code "*) ;; *) wrong=1 ;; esac
    done
    echo "turned away: $(proxy_counts counts)"
    [ "$wrong" = 0 ]
}

# turned_away COMMAND…: and how often it was.
turned_away() {
    local code=0
    proxy_counts reset >/dev/null || return 1
    "$@" || code=$?
    echo "turned away: $(proxy_counts counts)"
    return "$code"
}

# proxy_counts reset|counts: how many 429 have passed since it was reset.
proxy_counts() {
    python3 - "$SLOW_CONTROL" "$1" <<'PYTHON'
import json, sys, urllib.request
control, what = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
answer = opener.open(control + ("/reset?delay=0" if what == "reset" else "/counts")).read()
print(json.loads(answer)["statuses"].get("429", 0) if what == "counts" else "")
PYTHON
}

answers_or_asks_again() {
    local code=0
    "$@" >"$WORK/asked" 2>&1 || code=$?
    tail -n 5 "$WORK/asked"
    echo "exit code $code, $(grep -c '^Verified:' "$WORK/asked") verified"
    [ "$code" = 0 ] || { [ "$code" = 4 ] && ! grep -Ev '^(error: undecided|error: cannot)' "$WORK/asked" | grep -q '^error:'; }
}

# toxiproxy between us and olareg.
bad_lines() {
    local control=127.0.0.1:$(free_ports 1) line base direct toxic
    start_registry olareg || { failed_before "olareg" "did not start"; return; }
    mkdir -p "$WORK/toxiproxy"
    "${PEER[toxiproxy]}" -host 127.0.0.1 -port "${control##*:}" >"$WORK/toxiproxy/log" 2>&1 </dev/null &
    SERVERS+=($!)
    TOXIC_CONTROL=http://$control
    wait_for_answer "$WORK/toxiproxy/log" "$TOXIC_CONTROL/version" $! || { failed_before "toxiproxy" "did not start"; return; }
    line=127.0.0.1:$(free_ports 1)
    direct="oci://$REGISTRY/acme/lines"
    base="oci://$line/acme/lines"
    toxiproxy /proxies "{\"name\": \"line\", \"listen\": \"$line\", \"upstream\": \"$REGISTRY\", \"enabled\": true}" ||
        { failed_before "toxiproxy" "takes no proxy"; return; }
    row -g '^Digest: sha256:' "push of web" push "$CHARTS/web-1.4.2.tgz" "$direct"
    row -g '^Digest: sha256:' "push of api" push "$CHARTS/api-1.4.2.tgz" "$direct"
    SIGNER="helm-sigstore sign REF"
    row -g '^Attached: sha256:' "(signs, through a good line)" sign "$base/web:1.4.2"

    # name|exit code of sign and verify|of verify where there is no signature|toxic
    local lines=(
        'half a second late|0|3|{"type": "latency", "attributes": {"latency": 500, "jitter": 100}}'
        '8 KB a second|0|3|{"type": "bandwidth", "attributes": {"rate": 8}}'
        'in slices of 100 bytes|0|3|{"type": "slicer", "attributes": {"average_size": 100, "size_variation": 50, "delay": 1000}}'
        'cut after 300 bytes|4|4|{"type": "limit_data", "attributes": {"bytes": 300}}'
        'cut after 3000 bytes|4|3|{"type": "limit_data", "attributes": {"bytes": 3000}}'
        'reset|4|4|{"type": "reset_peer", "attributes": {"timeout": 0}}'
        'silent|4|4|{"type": "timeout", "attributes": {"timeout": 0}}'
    )
    local each name code unsigned n=0
    for each in "${lines[@]}"; do
        IFS='|' read -r name code unsigned toxic <<<"$each"
        n=$((n + 1))
        SIGNER=- PLACE="toxiproxy: $name"
        row -g '^Digest: sha256:' "push of cache" push "$CHARTS/cache-1.4.2.tgz" "$direct-$n"
        toxiproxy /proxies/line/toxics "${toxic/\{/\{\"name\": \"toxic\", \"stream\": \"downstream\", }" ||
            { failed_before "toxiproxy" "does not know this toxic"; continue; }
        row -e "$code" "helm-sigstore verify REF" verify "${TRUSTED[@]}" --timeout 15s "$base/web:1.4.2"
        # Unsigned is what the registry said is unsigned: where all its (short) answers came through.
        row -e "$unsigned" "helm-sigstore verify REF: unsigned" verify "${TRUSTED[@]}" --timeout 15s "$base/api:1.4.2"
        SIGNER="helm-sigstore sign REF"
        row "(sign): all or nothing" signs_or_not "$code" "$base-$n/cache:1.4.2"
        toxiproxy /proxies/line/toxics/toxic
        row "(sign): nothing half attached" whole "$(cat "$WORK/signed")" "$direct-$n/cache:1.4.2"
    done
}

# signs_or_not CODE REF
signs_or_not() {
    local code=0
    sign --timeout 20s "$2" || code=$?
    echo "$code" >"$WORK/signed"
    [ "$code" = "$1" ]
}

# toxiproxy PATH [DOCUMENT]: posts it, or without one deletes.
toxiproxy() {
    python3 - "$TOXIC_CONTROL$1" "${2:-}" <<'PYTHON'
import sys, urllib.request
url, document = sys.argv[1:]
request = urllib.request.Request(url, data=document.encode() or None, method="POST" if document else "DELETE")
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10)
PYTHON
}
