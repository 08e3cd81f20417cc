//! A booted systemd, in namespaces of its own, in which the package can be installed.

use crate::common::tools::{require, require_root};
use crate::common::{wait_for, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The two revisions of the package that `make test-systemd` builds: the first, and an upgrade.
pub const PACKAGES: [&str; 2] = ["1.deb", "2.deb"];

/// The gateway's unit.
pub const SERVICE: &str = "aisopod-gateway.service";

/// A booted systemd. Ended when dropped.
pub struct Machine {
    unshare: Child,
    nsenter: PathBuf,
    /// Its first process, as this machine numbers it.
    init: u32,
    dir: tempfile::TempDir,
}

impl Machine {
    /// Boots a machine with the packages and the hanging gateway in `/opt/test`; `None` if this user can't.
    pub fn boot() -> Option<Machine> {
        let (unshare, nsenter, _) = (require("unshare")?, require("nsenter")?, require("systemd-nspawn")?);
        require_root("booting a systemd")?;
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("files");
        fs::create_dir(&files).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (dir, name) in ["target/deb", "target/deb-upgrade"].into_iter().zip(PACKAGES) {
            let found = fs::read_dir(root.join(dir)).expect("make test-systemd builds the packages");
            let mut packages =
                found.map(|entry| entry.unwrap().path()).filter(|path| path.extension() == Some("deb".as_ref()));
            fs::copy(packages.next().expect("a package"), files.join(name)).unwrap();
        }
        let hanging = std::env::current_exe().unwrap().parent().unwrap().join("../examples/hanging");
        fs::copy(hanging, files.join("hanging")).expect("make test-systemd builds the hanging gateway");
        let log = fs::File::create(dir.path().join("boot.log")).unwrap();
        // Killing unshare kills all processes of its PID namespace (--kill-child).
        let child = Command::new(unshare)
            .args(["--pid", "--fork", "--mount", "--cgroup", "--uts", "--ipc", "--mount-proc", "--kill-child", "bash"])
            .arg(root.join("tests/systemd/boot.sh"))
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut machine = Machine { unshare: child, nsenter, init: 0, dir };
        machine.init = wait_for("the booted systemd", || descendant(machine.unshare.id(), "systemd"));
        wait_until("the end of the boot", || {
            let state = machine.output("systemctl is-system-running");
            matches!(String::from_utf8_lossy(&state.stdout).trim(), "running" | "degraded")
        });
        Some(machine)
    }

    /// Boots a machine and installs the package.
    pub fn with_package() -> Option<Machine> {
        let machine = Machine::boot()?;
        machine.run(&format!("dpkg -i /opt/test/{}", PACKAGES[0]));
        Some(machine)
    }

    /// Runs commands of a shell in the machine. Returns their standard output; panics if they fail.
    pub fn run(&self, commands: &str) -> String {
        let output = self.output(commands);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        assert!(
            output.status.success(),
            "{commands}: {}\n{}\n{}\n{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr),
            self.journal()
        );
        text(&output.stdout)
    }

    /// The same for commands that may fail.
    pub fn output(&self, commands: &str) -> Output {
        let mut command = Command::new(&self.nsenter);
        command.args(["--all", "--root", "--wd", &format!("--target={}", self.init), "bash", "-euc", commands]);
        // The lines that are printed are compared.
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").stdin(Stdio::null());
        command.output().unwrap()
    }

    /// A command that runs a program of this machine in the network of the booted one.
    pub fn in_network(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.nsenter);
        command.arg("--net").arg(format!("--target={}", self.init)).arg(program);
        command
    }

    /// A property of the gateway's service.
    pub fn property(&self, name: &str) -> String {
        self.run(&format!("systemctl show aisopod-gateway --value -p {name}"))
    }

    /// Waits until a property of the gateway's service has a value.
    pub fn wait_for_property(&self, name: &str, matches: impl Fn(&str) -> bool) -> String {
        wait_for(name, || Some(self.property(name)).filter(|value| matches(value)))
    }

    /// The journal of the service and its sockets.
    pub fn journal(&self) -> String {
        let output = self.output("journalctl --no-pager -o cat -u 'aisopod-gateway*'");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits for a line of the journal that contains `text`.
    pub fn wait_for_journal(&self, text: &str) {
        wait_until(text, || self.journal().contains(text));
    }

    /// Sends a signal, such as `HUP`, to the gateway.
    pub fn signal(&self, name: &str) {
        self.run(&format!("systemctl kill --kill-whom=main -s {name} aisopod-gateway"));
    }

    /// Writes the gateway's configuration.
    pub fn configure(&self, settings: &str) {
        assert!(!settings.contains('\''));
        self.run(&format!("printf %s '{settings}' > /etc/aisopod-gateway/config.toml"));
    }

    /// Adds settings to a unit.
    pub fn override_unit(&self, unit: &str, settings: &str) {
        assert!(!settings.contains('\''));
        let dir = format!("/etc/systemd/system/{unit}.d");
        self.run(&format!("mkdir -p {dir}; printf %s '{settings}' > {dir}/test.conf; systemctl daemon-reload"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.journal());
            eprintln!("{}", fs::read_to_string(self.dir.path().join("boot.log")).unwrap_or_default());
        }
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// The first process named `name` among the descendants of a process.
fn descendant(pid: u32, name: &str) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().filter_map(|child| child.parse().ok()).find_map(|child| {
        let is_wanted = fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|comm| comm.trim() == name);
        if is_wanted { Some(child) } else { descendant(child, name) }
    })
}
