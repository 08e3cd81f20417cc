//! Completions for shells.

use aisopod_gateway::internals::{COMMANDS, CommandLine, Flag, SCOPES, Value};

/// The values that can be completed: words, or none for files and for what has no list.
fn words(value: Value) -> &'static [&'static str] {
    match value {
        Value::Level => &["off", "error", "warn", "info", "debug", "trace"],
        Value::Role => &["operator", "node"],
        Value::Scope => SCOPES,
        Value::File | Value::Address | Value::Name => &[],
    }
}

/// The commands that have a name.
fn subcommands() -> impl Iterator<Item = &'static CommandLine> {
    COMMANDS.iter().filter(|command| !command.name.is_empty())
}

fn names(flag: &Flag) -> Vec<String> {
    let short = flag.short.map(|short| format!("-{short}"));
    short.into_iter().chain([format!("--{}", flag.long)]).collect()
}

pub fn bash() -> String {
    let mut script = "# Completion for bash. Generated from the program's flags by make docs.\n\
                      _aisopod_gateway() {\n    local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD - 1]}\n    \
                      COMPREPLY=()\n    case $last in\n"
        .to_owned();
    let mut done = Vec::new();
    for flag in COMMANDS.iter().flat_map(|command| command.flags) {
        let Some(value) = flag.value.filter(|_| !done.contains(&flag.long)) else { continue };
        done.push(flag.long);
        let reply = match value {
            Value::File => "compgen -f".to_owned(),
            value if words(value).is_empty() => "true".to_owned(),
            value => format!("compgen -W '{}'", words(value).join(" ")),
        };
        let reply =
            if reply == "true" { String::new() } else { format!(" mapfile -t COMPREPLY < <({reply} -- \"$word\");") };
        script += &format!("    {}){reply} return ;;\n", names(flag).join(" | "));
    }
    script += "    esac\n    local flags\n    case ${COMP_WORDS[1]} in\n";
    for command in subcommands() {
        script += &format!("    {}) flags='{}' ;;\n", command.name, flag_words(command));
    }
    let top: Vec<&str> = subcommands().map(|command| command.name).collect();
    script += &format!("    *) flags='{} {}' ;;\n    esac\n", flag_words(&COMMANDS[0]), top.join(" "));
    script
        + "    mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$word\")\n}\n\
              complete -F _aisopod_gateway aisopod-gateway\n"
}

fn flag_words(command: &CommandLine) -> String {
    command.flags.iter().flat_map(names).collect::<Vec<_>>().join(" ")
}

pub fn fish() -> String {
    let mut script = "# Completion for fish. Generated from the program's flags by make docs.\n\
                      complete -c aisopod-gateway -f\n"
        .to_owned();
    for command in subcommands() {
        let about = quoted(command.about);
        script += &format!("complete -c aisopod-gateway -n __fish_use_subcommand -a {} -d {about}\n", command.name);
    }
    for command in COMMANDS {
        let condition = match command.name {
            "" => "__fish_use_subcommand".to_owned(),
            name => format!("'__fish_seen_subcommand_from {name}'"),
        };
        for flag in command.flags {
            let short = flag.short.map(|short| format!(" -s {short}")).unwrap_or_default();
            let value = match flag.value {
                None => String::new(),
                Some(Value::File) => " -r -F".to_owned(),
                Some(value) if words(value).is_empty() => " -x".to_owned(),
                Some(value) => format!(" -x -a {}", quoted(&words(value).join(" "))),
            };
            let about = quoted(flag.about);
            script +=
                &format!("complete -c aisopod-gateway -n {condition}{short} -l {}{value} -d {about}\n", flag.long);
        }
    }
    script
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

pub fn zsh() -> String {
    let mut script =
        "#compdef aisopod-gateway\n# Completion for zsh. Generated from the program's flags by make docs.\n\
                      case ${words[2]} in\n"
            .to_owned();
    for command in subcommands().chain([&COMMANDS[0]]) {
        let pattern = if command.name.is_empty() { "*" } else { command.name };
        script += &format!("{pattern})\n    _arguments -s");
        for flag in command.flags {
            script += &format!(" \\\n        {}", zsh_argument(flag));
        }
        let words: Vec<&str> = subcommands().map(|command| command.name).collect();
        script += &match command.name {
            "" => format!(" \\\n        '1:command:({})'\n    ;;\n", words.join(" ")),
            name => format!(" \\\n        '1:command:({name})'\n    ;;\n"),
        };
    }
    script + "esac\n"
}

fn zsh_argument(flag: &Flag) -> String {
    let about = flag.about.replace('\'', "'\\''").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let value = match flag.value {
        None => String::new(),
        Some(Value::File) => ":file:_files".to_owned(),
        Some(value) => format!(":{}:({})", value.placeholder().to_lowercase(), zsh_words(value)),
    };
    let is_repeatable = matches!(flag.value, Some(Value::Address | Value::Scope));
    let star = if is_repeatable { "*" } else { "" };
    match (flag.short, flag.value.is_some()) {
        (Some(short), takes_value) => {
            let equals = if takes_value { "=" } else { "" };
            format!("'(-{short} --{long})'{{-{short},--{long}{equals}}}'[{about}]{value}'", long = flag.long)
        }
        (None, true) => format!("'{star}--{}=[{about}]{value}'", flag.long),
        (None, false) => format!("'--{}[{about}]'", flag.long),
    }
}

fn zsh_words(value: Value) -> String {
    words(value).join(" ").replace(':', "\\:").replace('*', "\\*")
}

#[cfg(test)]
mod tests {
    use crate::common::tools::require;
    use std::path::Path;
    use std::process::Command;

    fn run(shell: &str, arguments: &[&str]) -> Option<Vec<String>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/completions");
        let output = Command::new(require(shell)?).args(arguments).current_dir(dir).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell} {arguments:?}");
        assert!(output.status.success());
        Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    #[test]
    fn bash_completes_flags_commands_and_values() {
        let complete = |words: &str, index: usize| {
            let script = format!(
                "source ./aisopod-gateway.bash; COMP_WORDS=({words}); COMP_CWORD={index}; _aisopod_gateway; \
                 printf '%s\\n' \"${{COMPREPLY[@]}}\""
            );
            run("bash", &["-c", &script])
        };
        for (words, index, expected) in [
            ("aisopod-gateway --l", 1, &["--listen", "--log-level"][..]),
            ("aisopod-gateway to", 1, &["token"]),
            ("aisopod-gateway --log-level de", 2, &["debug"]),
            ("aisopod-gateway token --r", 2, &["--role"]),
            ("aisopod-gateway token --scope nod", 3, &["nodes:invoke"]),
            ("aisopod-gateway --config aisopod-gateway.b", 2, &["aisopod-gateway.bash"]),
        ] {
            assert_eq!(complete(words, index).unwrap(), expected, "{words}");
        }
    }

    #[test]
    fn fish_completes_flags_commands_and_values() {
        let complete = |line: &str| {
            let script = format!("source ./aisopod-gateway.fish; complete -C '{line}'");
            run("fish", &["--no-config", "-c", &script])
        };
        for (line, expected) in [
            ("aisopod-gateway --l", &["--listen", "--log-level"][..]),
            ("aisopod-gateway to", &["token"]),
            ("aisopod-gateway --log-level de", &["debug"]),
            ("aisopod-gateway token --r", &["--role"]),
            ("aisopod-gateway token --scope nod", &["nodes:invoke"]),
        ] {
            let Some(found) = complete(line) else { return };
            let found: Vec<_> = found.iter().map(|line| line.split('\t').next().unwrap()).collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    /// Types a line in a pseudo-terminal with an interactive zsh, and prints what that shows after a tab.
    const TYPE: &str = r#"
        zmodload zsh/zpty
        zpty shell 'TERM=dumb zsh -f -i'
        zpty -w shell 'PS1=; fpath=($PWD $fpath); autoload -Uz compinit && compinit -u -D; print REA"DY"'
        zpty -r shell output '*READY*'
        zpty -w -n shell "$1"$'\t'
        shown=
        repeat 1000; do
            if zpty -r -t shell output; then shown+=$output; else sleep 0.01; fi
            [[ $shown = *$2* ]] && break
        done
        print -r -- "$shown"
        zpty -d shell
    "#;

    #[test]
    fn zsh_completes_flags_commands_and_values() {
        for (line, expected) in [
            ("aisopod-gateway --lo", "--log-level="),
            ("aisopod-gateway to", "token"),
            ("aisopod-gateway --log-level=de", "--log-level=debug"),
            ("aisopod-gateway token --r", "--role="),
            ("aisopod-gateway token --role=op", "--role=operator"),
        ] {
            let Some(shown) = run("zsh", &["-f", "-c", TYPE, "zsh", line, expected]) else { return };
            assert!(shown.join("\n").contains(expected), "{line}: {shown:?}");
        }
    }
}
