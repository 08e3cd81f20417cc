//! The service: start, sockets, reload, restarts under load, drain, journal.

use crate::machine::{Machine, SERVICE};
use crate::storm::Storm;
use serde_json::Value;
use std::thread;
use std::time::Duration;

#[test]
fn service_is_ready_when_it_listens_and_shows_its_clients() {
    let Some(machine) = Machine::with_package() else { return };
    assert_eq!(machine.property("StatusText"), "0 clients: 0 operators, 0 nodes");
    // Not compared, since timings decide no test.
    let exec = machine.property("ExecMainStartTimestampMonotonic").parse::<u64>().unwrap();
    let ready = machine.property("ActiveEnterTimestampMonotonic").parse::<u64>().unwrap();
    println!("from exec to READY=1: {} ms", (ready - exec) as f64 / 1000.0);
    assert!(ready > exec);
    let _storm = Storm::start(&machine, 1, Duration::from_secs(30));
    machine.wait_for_property("StatusText", |text| text == "1000 clients: 1000 operators, 0 nodes");
}

#[test]
fn first_connection_starts_the_service_and_without_the_sockets_it_listens_by_itself() {
    let Some(machine) = Machine::with_package() else { return };
    machine.run("systemctl stop aisopod-gateway.service");
    assert_eq!(machine.property("ActiveState"), "inactive");
    let ready = machine.run("curl -sS http://127.0.0.1:8080/readyz");
    assert_eq!((ready.as_str(), machine.property("ActiveState").as_str()), (r#"{"status":"ready"}"#, "active"));

    // The socket for operators takes /status from the others.
    machine.run("systemctl stop aisopod-gateway.service; systemctl start aisopod-gateway-ops.socket");
    let status = |port: u16| machine.run(&format!("curl -sS -o /dev/null -w '%{{http_code}}' 127.0.0.1:{port}/status"));
    assert_eq!((status(8081), status(8080)), ("200".to_owned(), "404".to_owned()));
    machine.wait_for_journal("listening role=admin addr=127.0.0.1:8081 passed_by=systemd");

    machine.run("systemctl stop 'aisopod-gateway*.socket' aisopod-gateway.service");
    machine.configure("listen = [\"127.0.0.1:8090\", \"unix:/run/aisopod-gateway/gateway.sock\"]\n");
    machine.run("systemctl start aisopod-gateway.service");
    assert_eq!(status(8090), "200");
    let socket = "/run/aisopod-gateway/gateway.sock";
    let over_unix = machine.run(&format!("curl -sS --unix-socket {socket} http://x/readyz; stat -c %a {socket}"));
    assert_eq!(over_unix, "{\"status\":\"ready\"}\n660");
}

#[test]
fn passed_socket_that_other_machines_can_reach_needs_credentials_and_low_ports_need_no_capability() {
    let Some(machine) = Machine::with_package() else { return };
    let socket = "[Socket]\nListenStream=\nListenStream=0.0.0.0:80\nListenStream=[::]:80\n";
    machine.override_unit("aisopod-gateway.socket", socket);
    machine.run("systemctl stop aisopod-gateway.service; systemctl restart aisopod-gateway.socket");
    machine.output("systemctl start aisopod-gateway.service");
    assert_eq!(machine.property("ExecMainStatus"), "78", "it isn't restarted with this exit code");
    machine.wait_for_journal("can be reached from other machines and needs credentials");
    machine.configure("[auth]\nallow_insecure = true\n");
    machine.run("systemctl reset-failed 'aisopod-gateway*'; systemctl start aisopod-gateway.socket aisopod-gateway");
    for addr in ["127.0.0.1", "[::1]"] {
        assert_eq!(machine.run(&format!("curl -sS http://{addr}/readyz")), r#"{"status":"ready"}"#);
    }
}

#[test]
fn passed_unix_socket_belongs_to_the_group_of_a_proxy() {
    let Some(machine) = Machine::with_package() else { return };
    machine.override_unit(
        "aisopod-gateway.socket",
        "[Socket]\nListenStream=\nListenStream=/run/aisopod-gateway.sock\nSocketGroup=www-data\n",
    );
    machine.run("systemctl stop aisopod-gateway.service; systemctl restart aisopod-gateway.socket");
    let socket = "/run/aisopod-gateway.sock";
    let curl = |user: &str| format!("runuser -u {user} -- curl -sS --unix-socket {socket} http://x/readyz");
    assert_eq!(machine.run(&curl("www-data")), r#"{"status":"ready"}"#);
    assert!(!machine.output(&curl("nobody")).status.success());
    machine.run("systemctl restart aisopod-gateway.service");
    assert_eq!(machine.run(&curl("www-data")), r#"{"status":"ready"}"#, "the path stays while the service restarts");
}

#[test]
fn restarts_under_load_refuse_no_connection_and_lose_no_client() {
    let Some(machine) = Machine::with_package() else { return };
    let storm = Storm::start(&machine, 10, Duration::from_secs(2));
    for _ in 0..3 {
        thread::sleep(Duration::from_secs(1));
        machine.run("systemctl restart aisopod-gateway.service");
    }
    let ends = storm.finish();
    println!("1,000 connects a second and three restarts: {ends:?}");
    assert!(ends.lost.is_empty() && ends.drained > 0 && ends.done + ends.drained == 10_000, "{ends:?}");
    assert_eq!(machine.property("Result"), "success");
}

#[test]
fn reload_applies_a_valid_file_and_fails_with_an_invalid_one() {
    let Some(machine) = Machine::with_package() else { return };
    let pid = machine.property("MainPID");
    machine.configure("log_level = \"debug\"\n[heartbeat]\ninterval = \"60s\"\n");
    machine.run("systemctl reload aisopod-gateway");
    machine.wait_for_journal("reloaded changed=log_level revoked=0");
    machine.wait_for_property("StatusText", |text| text.ends_with("; a restart is needed for heartbeat.interval"));
    machine.configure("[limits]\nmax_connections = 0\n");
    assert!(!machine.output("systemctl reload aisopod-gateway").status.success());
    let problem = "/etc/aisopod-gateway/config.toml:2: limits.max_connections = 0; allowed: 1 to";
    machine.wait_for_journal(problem);
    // Without the check that the unit runs first.
    machine.signal("HUP");
    machine.wait_for_property("StatusText", |text| text.contains(&format!("; the last reload failed: {problem}")));
    assert_eq!((machine.property("ActiveState"), machine.property("MainPID")), ("active".to_owned(), pid));
    machine.configure("");
    machine.run("systemctl reload aisopod-gateway");
    machine.wait_for_property("StatusText", |text| text == "0 clients: 0 operators, 0 nodes");
}

#[test]
fn secret_is_passed_by_load_credential() {
    let Some(machine) = Machine::with_package() else { return };
    machine.run("umask 077; echo a-token-that-only-root-reads > /etc/aisopod-gateway/alice.token");
    machine.override_unit(SERVICE, "[Service]\nLoadCredential=alice.token:/etc/aisopod-gateway/alice.token\n");
    machine.configure(
        "[auth]\nmode = \"token\"\n[[auth.credentials]]\nname = \"alice\"\nrole = \"operator\"\nscopes = [\"*\"]\n\
         token_file = \"alice.token\"\n",
    );
    machine.run("systemctl restart aisopod-gateway");
    let status = |header: &str| {
        machine.run(&format!("curl -sS -o /dev/null -w '%{{http_code}}' {header} http://127.0.0.1:8080/clients"))
    };
    assert_eq!(status(""), "401");
    assert_eq!(status("-H 'Authorization: Bearer a-token-that-only-root-reads'"), "200");
}

#[test]
fn killed_service_is_restarted_while_connections_wait() {
    let Some(machine) = Machine::with_package() else { return };
    let pid = machine.property("MainPID");
    machine.signal("KILL");
    // Accepted by systemd's socket, and answered by the next process.
    assert_eq!(machine.run("curl -sS http://127.0.0.1:8080/readyz"), r#"{"status":"ready"}"#);
    assert_ne!(machine.property("MainPID"), pid);
    assert_eq!(machine.property("NRestarts"), "1");
}

#[test]
fn stop_drains_all_clients_within_the_unit_s_timeout() {
    let Some(machine) = Machine::with_package() else { return };
    let storm = Storm::start(&machine, 4, Duration::from_secs(30));
    machine.wait_for_property("StatusText", |text| text.starts_with("4000 clients: "));
    machine.run("systemctl stop aisopod-gateway.socket aisopod-gateway.service");
    assert_eq!((machine.property("Result"), machine.property("ExecMainStatus")), ("success".into(), "0".into()));
    machine.wait_for_journal("stopped closed=4000 aborted=0");
    let ends = storm.finish();
    assert!(ends.drained == 4000 && ends.lost.is_empty(), "{ends:?}");
}

#[test]
fn lines_of_the_journal_have_their_priorities() {
    let Some(machine) = Machine::with_package() else { return };
    machine.configure("nonsense = 1\n");
    machine.signal("HUP");
    machine.signal("USR2");
    machine.wait_for_journal("reload failed");
    machine.wait_for_journal("signal is ignored");
    let lines = machine.run("journalctl -u aisopod-gateway -o json _COMM=aisopod-gateway");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> =
        lines.filter_map(|line| Some((line["MESSAGE"].as_str()?.to_owned(), line["PRIORITY"].clone()))).collect();
    for (start, priority) in [("INFO  ", "6"), ("ERROR ", "3"), ("WARN  ", "4")] {
        let (_, found) = lines.iter().find(|(text, _)| text.starts_with(start)).unwrap_or_else(|| panic!("{lines:?}"));
        assert_eq!(found, priority, "{start}");
    }
    // Neither a second priority nor a timestamp, which the journal has by itself.
    let is_plain = |text: &str| !text.starts_with('<') && !text.contains("[aisopod_gateway] 2");
    assert!(lines.iter().all(|(text, _)| is_plain(text)), "{lines:?}");
}
