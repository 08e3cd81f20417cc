# Completion for bash. Generated from the program's flags by make docs.
_aisopod_gateway() {
    local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $last in
    -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    --listen) return ;;
    --log-level) mapfile -t COMPREPLY < <(compgen -W 'off error warn info debug trace' -- "$word"); return ;;
    --name) return ;;
    --role) mapfile -t COMPREPLY < <(compgen -W 'operator node' -- "$word"); return ;;
    --scope) mapfile -t COMPREPLY < <(compgen -W 'clients:read clients:write events:read events:publish nodes:invoke *' -- "$word"); return ;;
    esac
    local flags
    case ${COMP_WORDS[1]} in
    token) flags='--name --role --scope -h --help' ;;
    *) flags='-c --config --listen --log-level --check -V --version -h --help token' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
}
complete -F _aisopod_gateway aisopod-gateway
