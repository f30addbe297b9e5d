# shellcheck shell=bash
# Servers on loopback, on ports that the system chose, ended with the run. Sourced by `run`.

SERVERS=()

end_servers() {
    local pid
    for pid in "${SERVERS[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${SERVERS[@]}"; do wait "$pid" 2>/dev/null || true; done
}

# wait_for LOG PATTERN PID: until a line of the log matches; prints that line. A log that another server has written before
# is emptied before the next one starts: the shell behind `&` does so too, but now and then later than this looks.
wait_for() {
    local line
    for _ in $(seq 150); do
        if line=$(grep -E -m 1 -e "$2" "$1"); then
            printf '%s\n' "$line"
            return 0
        fi
        kill -0 "$3" 2>/dev/null || break
        sleep 0.2
    done
    echo "did not start:" >&2
    tail -n 5 "$1" >&2
    return 1
}

# Starts the kit's Sigstore with the log $1 (v1 or v2) and its registry; sets the KIT_… variables.
start_kit() {
    local dir
    # A folder of its own each time: those that run already go on writing fresh tokens into theirs.
    dir=$(mktemp -d "$WORK/kit-$1.XXXXXX") || return 1
    "$KIT" serve --dir "$dir" --rekor "$1" --registry >"$dir/log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for "$dir/log" '^ready' $! >/dev/null || return 1
    # shellcheck disable=SC1091 # written by the kit
    . "$dir/env"
}

# So many ports that nobody uses, one a line.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in sockets), sep="\n")
PYTHON
}

# wait_for_answer LOG URL PID: until the URL answers 200.
wait_for_answer() {
    python3 - "$2" "$3" <<'PYTHON' || { echo "did not start:" >&2; tail -n 5 "$1" >&2; return 1; }
import os, sys, time, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for _ in range(300):
    try:
        opener.open(sys.argv[1], timeout=5)
        break
    except OSError:
        os.kill(int(sys.argv[2]), 0)
        time.sleep(0.1)
else:
    sys.exit(1)
PYTHON
}

# start_registry NAME: debian | distribution | distribution-keeps | olareg | olareg-keeps | olareg-405 | crane | zot, or
# one that runs already; sets REGISTRY to its host and port. Those that keep delete nothing.
start_registry() {
    local name=$1 dir=$WORK/registry-$1 known=REGISTRY_${1//-/_} command line deletes=true
    REGISTRY=${!known:-}
    [ -z "$REGISTRY" ] || return 0
    mkdir -p "$dir"
    case $name in
        debian | distribution*)
            [ "$name" != distribution-keeps ] || deletes=false
            cat >"$dir/config.yml" <<YAML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $dir/storage}, delete: {enabled: $deletes}}
http: {addr: "127.0.0.1:0"}
YAML
            command=(env OTEL_TRACES_EXPORTER=none "${PEER[${name%-keeps}]}" serve "$dir/config.yml")
            ;;
        olareg*)
            REGISTRY=127.0.0.1:$(free_ports 1)
            command=("${PEER[olareg]}" serve --addr 127.0.0.1 --port "${REGISTRY##*:}" --store-type mem)
            case $name in
                olareg) command+=(--api-delete=true) ;;
                olareg-keeps) command+=(--api-delete=false) ;;
                *) command+=(--api-referrer=false) ;;
            esac
            ;;
        crane) command=("${PEER[crane]}" registry serve --address 127.0.0.1:0) ;;
        zot)
            REGISTRY=127.0.0.1:$(free_ports 1)
            cat >"$dir/config.json" <<JSON
{"distSpecVersion": "1.1.1", "storage": {"rootDirectory": "$dir/storage", "gc": false}, "log": {"level": "info"},
 "http": {"address": "127.0.0.1", "port": "${REGISTRY##*:}"}}
JSON
            command=("${PEER[zot]}" serve "$dir/config.json")
            ;;
        *)
            echo "no registry is called $name" >&2
            return 1
            ;;
    esac
    : >"$dir/log"
    "${command[@]}" >"$dir/log" 2>&1 </dev/null &
    SERVERS+=($!)
    case $name in
        debian | distribution*)
            line=$(wait_for "$dir/log" 'listening on 127\.0\.0\.1:[0-9]+' $!) || return 1
            REGISTRY=$(grep -oE '127\.0\.0\.1:[0-9]+' <<<"$line" | tail -n 1)
            ;;
        olareg* | zot) wait_for_answer "$dir/log" "http://$REGISTRY/v2/" $! || return 1 ;;
        crane)
            line=$(wait_for "$dir/log" 'serving on port [0-9]+' $!) || return 1
            REGISTRY=127.0.0.1:$(grep -oE '[0-9]+$' <<<"$line")
            ;;
    esac
    printf -v "$known" %s "$REGISTRY"
}

# Until something listens there.
wait_for_port() {
    for _ in $(seq 100); do
        (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
        sleep 0.1
    done
    return 1
}
