# Completion of helm-sigstore for fish: helm-sigstore completion fish | source
function __helm_sigstore_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    or return
    set -l directive (string replace ':' '' -- $answer[-1])
    set -e answer[-1]
    if test (count $answer) -gt 0
        printf '%s\n' $answer
    else if test "$directive" = 0
        __fish_complete_path "$current"
    end
end
complete -c helm-sigstore -f -a '(__helm_sigstore_complete)'
