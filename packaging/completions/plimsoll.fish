# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_plimsoll_global_optspecs
    string join \n h/help V/version
end

function __fish_plimsoll_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_plimsoll_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_plimsoll_using_subcommand
    set -l cmd (__fish_plimsoll_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c plimsoll -n "__fish_plimsoll_needs_command" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -s V -l version -d 'Print version'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "run" -d 'Run the agent. Without a config it finds what is on the box'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "check" -d 'Check the config: file, line, column, what is allowed'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "test" -d 'Test what is written for the agent: rules, in promtool\'s file format'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "status" -d 'One screen: sources, spool, destinations, losses'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "query" -d 'Ask the agent\'s store in PromQL'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "alerts" -d 'What fires, what is about to, what cannot, and why'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "doctor" -d 'Check everything: each fault with the command that mends it'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "dashboards" -d 'The boards for Grafana: put them there, or write them as files'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "setup" -d 'Point this box at a Prometheus and a Loki'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "reload" -d 'Make the agent read its config again; a bad one changes nothing'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "metrics" -d 'Every metric that the agent can emit'
complete -c plimsoll -n "__fish_plimsoll_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand run" -l config -d 'Config file [default: /etc/plimsoll/plimsoll.yaml where there is one, else none]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand run" -l state -d 'State folder [default: /var/lib/plimsoll for root, else your own]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand run" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand check; and not __fish_seen_subcommand_from rules help" -l config -d 'The file [default: /etc/plimsoll/plimsoll.yaml]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand check; and not __fish_seen_subcommand_from rules help" -l json -d 'Print a list of {file, line, column, message, help}, empty when all is well'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand check; and not __fish_seen_subcommand_from rules help" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand check; and not __fish_seen_subcommand_from rules help" -f -a "rules" -d 'Check rule files only, such as those for the stack'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand check; and not __fish_seen_subcommand_from rules help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand check; and __fish_seen_subcommand_from rules" -l json -d 'Print a list of {file, line, column, message, help}, empty when all is well'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand check; and __fish_seen_subcommand_from rules" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand check; and __fish_seen_subcommand_from help" -f -a "rules" -d 'Check rule files only, such as those for the stack'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand check; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand test; and not __fish_seen_subcommand_from rules help" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand test; and not __fish_seen_subcommand_from rules help" -f -a "rules" -d 'Unit tests of rules, in the format of promtool test rules'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand test; and not __fish_seen_subcommand_from rules help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand test; and __fish_seen_subcommand_from rules" -l json -d 'Print a list of {file, tests, failures: [{test, message}], warnings}'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand test; and __fish_seen_subcommand_from rules" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand test; and __fish_seen_subcommand_from help" -f -a "rules" -d 'Unit tests of rules, in the format of promtool test rules'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand test; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand status" -l state -d 'The state folder of the agent to talk to [default: the service\'s, else your own]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand status" -l socket -d 'The control socket of the agent to talk to' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand status" -l json -d 'Print JSON'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand status" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand query" -l range -d 'Over this long until now (or --at), such as 1h: a line of bars per series' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand query" -l step -d 'From one point to the next, such as 15s [default: 60 points over the range]' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand query" -l at -d 'At this time instead of now: RFC 3339 or Unix seconds' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand query" -l state -d 'The state folder of the agent to talk to [default: the service\'s, else your own]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand query" -l socket -d 'The control socket of the agent to talk to' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand query" -l json -d 'Print the `data` of Prometheus\' HTTP API'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand query" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and not __fish_seen_subcommand_from review help" -l history -d 'What fired over this long, newest first [default without a value: 7d]' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and not __fish_seen_subcommand_from review help" -l state -d 'The state folder of the agent to talk to [default: the service\'s, else your own]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and not __fish_seen_subcommand_from review help" -l socket -d 'The control socket of the agent to talk to' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and not __fish_seen_subcommand_from review help" -l json -d 'Print JSON'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and not __fish_seen_subcommand_from review help" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and not __fish_seen_subcommand_from review help" -f -a "review" -d 'Say which alerts were noise, and what would make them fewer'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and not __fish_seen_subcommand_from review help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and __fish_seen_subcommand_from review" -l over -d 'Over this long; the ledger keeps 90 days' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and __fish_seen_subcommand_from review" -l state -d 'The state folder of the agent to talk to [default: the service\'s, else your own]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and __fish_seen_subcommand_from review" -l socket -d 'The control socket of the agent to talk to' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and __fish_seen_subcommand_from review" -l json -d 'Print JSON'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and __fish_seen_subcommand_from review" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and __fish_seen_subcommand_from help" -f -a "review" -d 'Say which alerts were noise, and what would make them fewer'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand alerts; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand doctor" -l prometheus -d 'Ask this Prometheus too: its limits, and whether what rules and boards need arrives there' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand doctor" -l loki -d 'Ask this Loki too: its limits, and whether the lines of this box arrive there' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand doctor" -l token-file -d 'A file with the bearer token for both' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand doctor" -l state -d 'The state folder of the agent to talk to [default: the service\'s, else your own]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand doctor" -l socket -d 'The control socket of the agent to talk to' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand doctor" -l json -d 'Print JSON'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and not __fish_seen_subcommand_from install export help" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and not __fish_seen_subcommand_from install export help" -f -a "install" -d 'Put the boards into a folder of a Grafana, and say what changed'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and not __fish_seen_subcommand_from install export help" -f -a "export" -d 'Write the boards as files, for Grafana\'s provisioning'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and not __fish_seen_subcommand_from install export help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and __fish_seen_subcommand_from install" -l grafana -d 'Where Grafana answers, such as https://grafana.example' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and __fish_seen_subcommand_from install" -l token-file -d 'A file that holds the token, and nothing else' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and __fish_seen_subcommand_from help" -f -a "install" -d 'Put the boards into a folder of a Grafana, and say what changed'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and __fish_seen_subcommand_from help" -f -a "export" -d 'Write the boards as files, for Grafana\'s provisioning'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand dashboards; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand setup" -l prometheus -d 'Address of a Prometheus or Mimir, such as http://prometheus:9090' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand setup" -l loki -d 'Address of a Loki, such as http://loki:3100' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand setup" -l token-file -d 'File with the token that both take as Authorization: Bearer [default: the one that is set, else none]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand setup" -l username -d 'With --token-file: the user whose password it is, for Authorization: Basic, as Grafana Cloud wants it' -r
complete -c plimsoll -n "__fish_plimsoll_using_subcommand setup" -l config -d 'Another config to write; no service is touched, and the token stays in its file' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand setup" -l root -d 'Write below this folder, such as the tree of an image; no service is touched' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand setup" -l untested -d 'Write although an address does not answer yet'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand setup" -l dry-run -d 'Try the addresses and say what would be written'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand setup" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand reload" -l state -d 'The state folder of the agent to talk to [default: the service\'s, else your own]' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand reload" -l socket -d 'The control socket of the agent to talk to' -r -F
complete -c plimsoll -n "__fish_plimsoll_using_subcommand reload" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand metrics" -l json -d 'Print JSON'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "run" -d 'Run the agent. Without a config it finds what is on the box'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "check" -d 'Check the config: file, line, column, what is allowed'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "test" -d 'Test what is written for the agent: rules, in promtool\'s file format'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "status" -d 'One screen: sources, spool, destinations, losses'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "query" -d 'Ask the agent\'s store in PromQL'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "alerts" -d 'What fires, what is about to, what cannot, and why'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "doctor" -d 'Check everything: each fault with the command that mends it'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "dashboards" -d 'The boards for Grafana: put them there, or write them as files'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "setup" -d 'Point this box at a Prometheus and a Loki'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "reload" -d 'Make the agent read its config again; a bad one changes nothing'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "metrics" -d 'Every metric that the agent can emit'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and not __fish_seen_subcommand_from run check test status query alerts doctor dashboards setup reload metrics help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and __fish_seen_subcommand_from check" -f -a "rules" -d 'Check rule files only, such as those for the stack'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and __fish_seen_subcommand_from test" -f -a "rules" -d 'Unit tests of rules, in the format of promtool test rules'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and __fish_seen_subcommand_from alerts" -f -a "review" -d 'Say which alerts were noise, and what would make them fewer'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and __fish_seen_subcommand_from dashboards" -f -a "install" -d 'Put the boards into a folder of a Grafana, and say what changed'
complete -c plimsoll -n "__fish_plimsoll_using_subcommand help; and __fish_seen_subcommand_from dashboards" -f -a "export" -d 'Write the boards as files, for Grafana\'s provisioning'
