# shellcheck shell=bash
# Servers on loopback, on ports that the system chose, ended with the run. Sourced by `run`.

SERVERS=()

end_servers() {
    local pid
    for pid in "${SERVERS[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${SERVERS[@]}"; do wait "$pid" 2>/dev/null || true; done
}

# wait_for LOG PATTERN PID: until a line of the log matches; prints that line.
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
    local dir=$WORK/kit-$1
    mkdir -p "$dir"
    "$KIT" serve --dir "$dir" --rekor "$1" --registry >"$dir/log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for "$dir/log" '^ready' $! >/dev/null || return 1
    # shellcheck disable=SC1091 # written by the kit
    . "$dir/env"
}

# Starts Debian's registry; sets FALLBACK_REGISTRY to its host and port.
start_docker_registry() {
    local dir=$WORK/docker-registry line
    mkdir -p "$dir"
    cat >"$dir/config.yml" <<YAML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $dir/storage}, delete: {enabled: true}}
http: {addr: "127.0.0.1:0"}
YAML
    "${PEER[docker-registry]}" serve "$dir/config.yml" >"$dir/log" 2>&1 </dev/null &
    SERVERS+=($!)
    line=$(wait_for "$dir/log" 'listening on 127\.0\.0\.1:[0-9]+' $!) || return 1
    FALLBACK_REGISTRY=$(grep -oE '127\.0\.0\.1:[0-9]+' <<<"$line")
}
