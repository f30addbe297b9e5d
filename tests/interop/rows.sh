# shellcheck shell=bash
# Rows: one fact each about who signed, who verified, and where. Sourced by `run`.

PASSED=0
FAILED=0
NOT_MEASURED=0
ROWS=$WORK/rows       # one line a row, fields separated by unit separators, for the JSON
OUTPUT=$WORK/output   # what the last row's command said, both streams
: >"$ROWS"

# What the next rows are about.
SIGNER=-              # who signed
PLACE=-               # where: a registry, a file, a Helm
LOG=-                 # the transparency log: v1, v2
KIND=                 # as whom: the kind of identity
MATRIX=               # not empty where the rows are cells of the matrix
NOTE=                 # why a refusal is right, where that is the peer's affair
LAST=                 # the last row's result
NEEDS=                # peers that made or keep what the rows look at
declare -A USES       # command -> the peer that it runs

# row [-e EXIT] [-g PATTERN] VERIFIER COMMAND…
#   -e  the exit code that is right (0); `refused` is any but 0 and those of a shell that could not run it
#   -g  an extended regular expression that a line of its output has to match, so that nothing is right by accident
# A row whose peers are not all there is not measured.
row() {
    local expected=0 pattern='' option OPTIND=1
    while getopts e:g: option; do
        case $option in
            e) expected=$OPTARG ;;
            g) pattern=$OPTARG ;;
            *) exit 64 ;; # a row that is not run would not be missed
        esac
    done
    shift $((OPTIND - 1))
    local verifier=$1
    shift

    local peer why=''
    for peer in $NEEDS ${USES[$1]:-}; do
        [ -z "${MISSING[$peer]:-}" ] || why="$peer: ${MISSING[$peer]}"
    done
    if [ -n "$why" ]; then
        NOT_MEASURED=$((NOT_MEASURED + 1))
        record "not measured" "$verifier" "$expected" "" "$why"
        return 0
    fi

    local code=0
    "$@" >"$OUTPUT" 2>&1 </dev/null || code=$?
    why=
    if [ "$expected" = refused ]; then
        [ "$code" -gt 0 ] && [ "$code" -lt 124 ] || why="exit code $code, expected a refusal"
    elif [ "$code" != "$expected" ]; then
        why="exit code $code, expected $expected"
    fi
    if [ -z "$why" ] && [ -n "$pattern" ] && ! grep -Eq -e "$pattern" "$OUTPUT"; then
        why="nothing it said matches $pattern"
    fi
    if [ -z "$why" ]; then
        PASSED=$((PASSED + 1))
        record ok "$verifier" "$expected" "$code" ""
    else
        FAILED=$((FAILED + 1))
        record FAILED "$verifier" "$expected" "$code" "$why"
        printf '    command: %s\n' "$(printf '%q ' "$@" | cut -c -2000)"
        tail -n 20 "$OUTPUT" | cut -c -500 | sed 's/^/    | /'
        return 0
    fi
}

# Prints a row and keeps it for the JSON.
record() {
    local result=$1 verifier=$2 expected=$3 code=$4 why=$5
    LAST=$result
    printf '%-12s  %-36s  %-52s  %-26s  %-2s%s%s%s\n' "$result" "$SIGNER" "$verifier" "$PLACE" "$LOG" "${MATRIX:+  $KIND}" \
        "${why:+  ($why)}" "${NOTE:+  ($NOTE)}"
    printf '%s\x1f' "$SIGNER" "$verifier" "$PLACE" "$LOG" "$result" "$expected" "$code" "$KIND" "$MATRIX" "$NOTE" >>"$ROWS"
    printf '%s\n' "${why//$'\n'/ }" >>"$ROWS"
}

# A group of rows that could not even begin.
failed_before() {
    FAILED=$((FAILED + 1))
    record FAILED "$1" 0 "" "$2"
}

# not_measured VERIFIER PEER…: says so, and why, if one of the peers cannot be had; fails if all are there.
not_measured() {
    local verifier=$1 peer
    shift
    for peer in "$@"; do
        if [ -n "${MISSING[$peer]:-}" ]; then
            NOT_MEASURED=$((NOT_MEASURED + 1))
            record "not measured" "$verifier" 0 "" "$peer: ${MISSING[$peer]}"
            return 0
        fi
    done
    return 1
}

# Writes the rows to $1 and says the last line.
summary() {
    mkdir -p "$(dirname "$1")"
    PYTHONDONTWRITEBYTECODE=1 python3 "$HERE/matrix.py" "$ROWS" "$1"
    local name
    for name in "${!MISSING[@]}"; do echo "not measured: $name: ${MISSING[$name]}"; done
    echo "$PASSED passed, $FAILED failed, $NOT_MEASURED not measured"
}
