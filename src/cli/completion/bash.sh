# Completion of helm-sigstore for bash: source <(helm-sigstore completion bash)
_helm_sigstore() {
    local line=${COMP_LINE:0:COMP_POINT} current answer directive front='' value
    local -a words
    read -r -a words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    current=${words[${#words[@]} - 1]}
    COMPREPLY=()
    answer=$("${words[0]}" __complete "${words[@]:1}" 2>/dev/null) || return 0
    directive=${answer##*:}
    # bash replaces only what follows the last of its word breaks.
    case $current in
    *:*) [[ $COMP_WORDBREAKS == *:* ]] && front=${current%"${current##*[:=]}"} ;;
    *=*) [[ $COMP_WORDBREAKS == *=* ]] && front=${current%"${current##*[:=]}"} ;;
    esac
    while IFS=$'\t' read -r value _; do
        [[ -n $value ]] && COMPREPLY+=("${value#"$front"}")
    done <<<"${answer%:*}"
    if ((directive & 4)); then
        compopt +o default 2>/dev/null
    fi
    return 0
}
complete -o default -F _helm_sigstore helm-sigstore
