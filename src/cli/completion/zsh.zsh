#compdef helm-sigstore
# Completion of helm-sigstore for zsh: source <(helm-sigstore completion zsh), or this file as _helm-sigstore
# in a directory of $fpath.
_helm_sigstore() {
    local answer line value text directive
    local -a lines values
    answer=$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null) || return 1
    lines=("${(@f)answer}")
    directive=${lines[-1]#:}
    lines[-1]=()
    for line in "${lines[@]}"; do
        value=${line%%$'\t'*}
        text=
        [[ $line == *$'\t'* ]] && text=${line#*$'\t'}
        values+=("${value//:/\\:}:$text")
    done
    if (( $#values )); then
        _describe helm-sigstore values
    elif (( (directive & 4) == 0 )); then
        _files
    fi
}
if [[ ${funcstack[1]} == _helm-sigstore ]]; then
    _helm_sigstore "$@"
else
    compdef _helm_sigstore helm-sigstore
fi
