# Completion for fish. Generated from the program's flags by make docs.
complete -c aisopod-gateway -f
complete -c aisopod-gateway -n __fish_use_subcommand -a token -d 'Prints a new random token, which isn\'t stored, and its [[auth.credentials]] block for the configuration.'
complete -c aisopod-gateway -n __fish_use_subcommand -s c -l config -r -F -d 'the configuration file (default: /etc/aisopod-gateway/config.toml, if it exists)'
complete -c aisopod-gateway -n __fish_use_subcommand -l listen -x -d 'replaces the file\'s addresses; repeatable: 127.0.0.1:8080, [::1]:8080, unix:/run/x.sock'
complete -c aisopod-gateway -n __fish_use_subcommand -l log-level -x -a 'off error warn info debug trace' -d 'replaces the file\'s log level: off, error, warn, info, debug, trace'
complete -c aisopod-gateway -n __fish_use_subcommand -l check -d 'check the configuration and exit'
complete -c aisopod-gateway -n __fish_use_subcommand -s V -l version -d 'print the version'
complete -c aisopod-gateway -n __fish_use_subcommand -s h -l help -d 'print this help'
complete -c aisopod-gateway -n '__fish_seen_subcommand_from token' -l name -x -d 'the name of the client; required'
complete -c aisopod-gateway -n '__fish_seen_subcommand_from token' -l role -x -a 'operator node' -d 'its role: operator, node, or another word; required'
complete -c aisopod-gateway -n '__fish_seen_subcommand_from token' -l scope -x -a 'clients:read clients:write events:read events:publish nodes:invoke *' -d 'a scope that is granted to it; repeatable'
complete -c aisopod-gateway -n '__fish_seen_subcommand_from token' -s h -l help -d 'print this help'
