# shellcheck shell=bash
# Rekor v1 as its makers publish it: a Trillian log on MariaDB, beside the services of stack.sh. Sourced by `run`.

REKOR_V1_PEERS="rekor trillian-server trillian-signer trillian-schema mariadb"

# Starts it; from here on the documents of the stack name this log: STACK_REKOR_V1_URL, STACK_REKOR_V1_PUBLIC_KEY.
start_rekor_v1() {
    local dir=$WORK/rekor-v1 ports base=${PEER[mariadb]%/usr/sbin/mariadbd} dsn libraries
    mkdir -p "$dir/data"
    mapfile -t ports < <(free_ports 7)
    libraries=$(printf '%s:' "$base"/usr/lib/*-linux-gnu* "$base"/lib/*-linux-gnu*)
    # An empty folder is enough for a database that asks nobody who they are.
    LD_LIBRARY_PATH=$libraries "${PEER[mariadb]}" --no-defaults --user="$(id -un)" --basedir="$base/usr" \
        --lc-messages-dir="$base/usr/share/mysql" --datadir="$dir/data" --skip-grant-tables --bind-address=127.0.0.1 \
        --port="${ports[0]}" --socket="$dir/socket" --pid-file="$dir/pid" --innodb-flush-log-at-trx-commit=0 \
        >"$dir/mariadb.log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for "$dir/mariadb.log" 'ready for connections' $! >/dev/null || return 1
    {
        echo 'CREATE DATABASE trillian; USE trillian;'
        cat "${PEER[trillian-schema]}"
    } | LD_LIBRARY_PATH=$libraries "$base/usr/bin/mariadb" --no-defaults --host=127.0.0.1 --port="${ports[0]}" \
        --user=trillian --password=none >"$dir/schema.log" 2>&1 || { tail -n 3 "$dir/schema.log" >&2; return 1; }
    dsn="trillian:none@tcp(127.0.0.1:${ports[0]})/trillian?parseTime=true&interpolateParams=true"

    "${PEER[trillian-server]}" --quota_system=noop --storage_system=mysql --mysql_uri="$dsn" \
        --rpc_endpoint="127.0.0.1:${ports[1]}" --http_endpoint="127.0.0.1:${ports[2]}" >"$dir/server.log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for_answer "$dir/server.log" "http://127.0.0.1:${ports[2]}/healthz" $! || return 1
    "${PEER[trillian-signer]}" --quota_system=noop --storage_system=mysql --mysql_uri="$dsn" --force_master \
        --batch_size=100 --sequencer_interval=100ms --rpc_endpoint="127.0.0.1:${ports[3]}" \
        --http_endpoint="127.0.0.1:${ports[4]}" >"$dir/signer.log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for_answer "$dir/signer.log" "http://127.0.0.1:${ports[4]}/healthz" $! || return 1

    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/rekor.key" 2>/dev/null
    STACK_REKOR_V1_URL=http://localhost:${ports[5]}
    "${PEER[rekor]}" serve --port "${ports[5]}" --rekor_server.address 127.0.0.1 --rekor_server.hostname localhost \
        --rekor_server.signer "$dir/rekor.key" --trillian_log_server.address 127.0.0.1 \
        --trillian_log_server.port "${ports[1]}" --search_index.storage_provider mysql --search_index.mysql.dsn "$dsn" \
        >"$dir/rekor.log" 2>&1 </dev/null &
    SERVERS+=($!)
    wait_for_answer "$dir/rekor.log" "$STACK_REKOR_V1_URL/api/v1/log/publicKey" $! || return 1
    openssl pkey -in "$dir/rekor.key" -pubout -out "$dir/rekor.pub" || return 1
    STACK_REKOR_V1_PUBLIC_KEY=$dir/rekor.pub
    write_documents "$STACK_DIR" "$STACK_REKOR_V1_URL" "$STACK_REKOR_V1_PUBLIC_KEY" 1
}
